package import Configuration
import Glibc
import Messaging
import Platform

/// Which keys a process uses, by what its user said and by where it listens or connects.
package enum RunSecurity {
    /// The variable that names the folder of keys where nothing else does.
    package static let variable = "PLEURA_KEYS"

    /// The coordinator's keys; nil where the run is to have none.
    ///
    /// Throws where it listens beyond this machine without keys and nobody has written that it shall.
    package static func serverKeys(
        _ security: RunConfiguration.Security,
        bind: String,
        environment: [String: String]
    ) throws -> ServerKeys? {
        if security.mode == .none { return nil }
        let folder = security.keys.isEmpty ? try UserPath.expanded(environment[variable] ?? "") : security.keys
        if !folder.isEmpty { return try KeyFolder(FileSystem.absolute(folder)).serverKeys() }
        if security.mode == .auto && Endpoint.isLoopback(bind) { return nil }
        // Keys alone would not help where nobody can listen.
        try Socket.check(bind)
        var trouble = ""
        if let host = Endpoint.hostAndPort(bind)?.host, !HostName.isNumber(host), if_nametoindex(host) == 0 {
            do throws(MessagingError) { _ = try HostName.addresses(of: host, in: bind) } catch { trouble = "\(error) " }
        }
        throw KeyError(
            trouble
                + "The coordinator is to listen on \(bind)\(security.mode == .auto ? ", which other machines reach" : "") and "
                + "has no keys. Make some with `pleura keygen FOLDER --workers N` and give --set security.keys=FOLDER; or "
                + "write --set security.mode=none, and anybody who reaches the port can read and change the run."
        )
    }

    /// Whether a worker without keys may serve `coordinator` and listen on `listen`, where its user has not written that
    /// it shall.
    package static func checkWorkerWithoutKeys(coordinator: String, listen: String) throws {
        if Endpoint.isLoopback(coordinator, isTarget: true) && Endpoint.isLoopback(listen) { return }
        throw KeyError(
            "The worker has no keys, and the coordinator \(coordinator) or its workers are on other machines. Give "
                + "--keys FOLDER with \(KeyFolder.listName) and a worker's key of those that `pleura keygen` made for the "
                + "job; or --security none, as the coordinator must then be told too."
        )
    }

    /// What the user is told at every start of a run without keys that was asked for; nil for none.
    package static func warning(_ security: RunConfiguration.Security, hasKeys: Bool) -> String? {
        if security.mode == .none {
            return "security.mode is none: whoever reaches the run's ports can join it, read it and change it"
        }
        if hasKeys && security.data == .none {
            return "security.data is none: gradients travel between hosts unencrypted, and can be changed on the way"
        }
        return nil
    }
}
