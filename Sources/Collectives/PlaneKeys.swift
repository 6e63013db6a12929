package import Messaging

/// What a worker needs to protect its frames: its own keys, and who else may send some.
package struct PlaneKeys: Hashable, Sendable, Codable {
    /// What is done with frames; the same at all members.
    package enum Protection: String, CaseIterable, Sendable, Codable {
        /// Nobody else can read or change them.
        case encrypted
        /// Nobody else can change them.
        case authenticated
    }

    /// The name of the worker's key in everybody's list.
    package var name: String
    package var pair: CurvePair
    /// The public keys of all workers of the job.
    package var workers: AllowList
    package var protection: Protection

    package init(name: String, pair: CurvePair, workers: AllowList, protection: Protection = .encrypted) {
        self.name = name
        self.pair = pair
        self.workers = workers
        self.protection = protection
    }

    var listening: CurveKeys { .server(secretKey: pair.secretKey, allowed: workers) }

    /// Keys to connect to the worker whose key has the name `key`; nil where that is not on the list.
    func connecting(to key: String?) -> CurveKeys? {
        guard let key, let theirs = workers.keys[key] else { return nil }
        return .client(serverKey: theirs, publicKey: pair.publicKey, secretKey: pair.secretKey)
    }
}
