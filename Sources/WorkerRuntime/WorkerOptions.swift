package import RunLinks

/// What `pleura worker` is told on its command line.
package struct WorkerOptions: Sendable {
    /// The coordinator's control endpoint, `tcp://HOST:PORT`.
    package var coordinator: String
    package var threads: Int
    /// Given by the launcher to its children; drawn at random otherwise.
    package var incarnation: UInt64
    /// The job to serve; nil serves any.
    package var job: String?
    /// Where the worker listens for other hosts' frames.
    package var listen: String
    /// The name under which other hosts reach it.
    package var advertisedHost: String?
    /// Another folder with the job's shards than the configuration names.
    package var shards: String?
    /// Whether shards are fetched even where the configuration's folder can be seen here.
    package var fetches: Bool
    /// Where fetched shards and checkpoints are kept.
    package var cache: String
    /// The most bytes that fetched data sets may take there; nil for any number.
    package var cacheLimit: Int?
    /// Another name for this host: parts of one machine then behave as several hosts.
    package var host: String?
    /// Nil: the worker takes part without.
    package var keys: WorkerKeys?
    /// For tests.
    package var faults: WorkerFaults
    package var plannedFaults: PlannedFaults?

    package init(
        coordinator: String,
        threads: Int,
        incarnation: UInt64 = .random(in: 1 ... .max),
        job: String? = nil,
        listen: String = "tcp://127.0.0.1:*",
        advertisedHost: String? = nil,
        shards: String? = nil,
        fetches: Bool = false,
        cache: String,
        cacheLimit: Int? = nil,
        host: String? = nil,
        keys: WorkerKeys? = nil,
        faults: WorkerFaults = WorkerFaults(),
        plannedFaults: PlannedFaults? = nil
    ) {
        self.coordinator = coordinator
        self.threads = threads
        self.incarnation = incarnation
        self.job = job
        self.listen = listen
        self.advertisedHost = advertisedHost
        self.shards = shards
        self.fetches = fetches
        self.cache = cache
        self.cacheLimit = cacheLimit
        self.host = host
        self.keys = keys
        self.faults = faults
        self.plannedFaults = plannedFaults
    }
}
