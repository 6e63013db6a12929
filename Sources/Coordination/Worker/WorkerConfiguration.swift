/// What the worker machine is given once, at its start.
package struct WorkerConfiguration: Hashable, Sendable {
    package var protocolVersion: UInt32
    package var programVersion: String
    package var hostName: String
    package var hostIdentity: String
    package var processID: Int32
    package var threads: UInt32
    package var numericsProfiles: [String]
    /// The job to serve; nil serves any.
    package var job: String?
    /// The token of this process: drawn at random, or given by the launcher.
    package var incarnation: UInt64
    package var endpoints: [String]
    package var datasetDigest: String?
    /// Where the coordinator is, for sentences.
    package var coordinator: String
    /// How often hello is repeated until it is answered.
    package var helloInterval: Duration
    /// How long the worker waits for its welcome.
    package var joining: Duration
    /// How long after the first request to end another one counts as the second.
    package var secondRequest: Duration

    package init(
        protocolVersion: UInt32,
        programVersion: String,
        hostName: String,
        hostIdentity: String,
        processID: Int32,
        threads: UInt32,
        numericsProfiles: [String],
        job: String?,
        incarnation: UInt64,
        endpoints: [String],
        datasetDigest: String?,
        coordinator: String,
        helloInterval: Duration = .seconds(1),
        joining: Duration = .seconds(60),
        secondRequest: Duration = .seconds(1)
    ) {
        self.protocolVersion = protocolVersion
        self.programVersion = programVersion
        self.hostName = hostName
        self.hostIdentity = hostIdentity
        self.processID = processID
        self.threads = threads
        self.numericsProfiles = numericsProfiles
        self.job = job
        self.incarnation = incarnation
        self.endpoints = endpoints
        self.datasetDigest = datasetDigest
        self.coordinator = coordinator
        self.helloInterval = helloInterval
        self.joining = joining
        self.secondRequest = secondRequest
    }
}
