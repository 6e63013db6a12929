import Foundation
import Messaging
import RunLinks

/// What a launcher asks of the guard of one worker: one line of JSON on the guard's standard input, since a command line
/// can be read by everybody on its host and this may carry keys.
package struct GuardOrder: Codable, Sendable, Equatable {
    /// Of this form; a guard of another one refuses.
    package var format = GuardOrder.currentFormat
    /// The coordinator's endpoint. A wildcard in the place of its host stands for the other end of the ssh connection.
    package var coordinator: String
    /// What else stands on the worker's command line.
    package var arguments: [String]
    /// The working folder, made where it is missing; `~/` stands for the home folder.
    package var folder: String
    /// The worker is ended when nothing has been heard from the launcher for so long.
    package var silenceSeconds: Double
    /// What `KeyFolder.channelText(of:)` gave; nil for a run without keys.
    package var keys: String?

    package static let currentFormat = 1
    /// A longer line is no order.
    package static let limit = KeyFolder.channelLimit + (1 << 16)

    package init(
        coordinator: String,
        arguments: [String],
        folder: String,
        silenceSeconds: Double,
        keys: String?
    ) {
        self.coordinator = coordinator
        self.arguments = arguments
        self.folder = folder
        self.silenceSeconds = silenceSeconds
        self.keys = keys
    }

    /// The order as it is sent, with its line feed.
    package var line: [UInt8] {
        get throws { Array(try JSONEncoder().encode(self)) + [UInt8(ascii: "\n")] }
    }

    /// Reads a line; throws where it is no order of this form.
    package init(line: [UInt8]) throws {
        guard let order = try? JSONDecoder().decode(GuardOrder.self, from: Data(line)) else {
            throw LaunchError.noOrder
        }
        guard order.format == Self.currentFormat else {
            throw LaunchError.orderForm(found: order.format, reads: Self.currentFormat)
        }
        guard (0...1e6).contains(order.silenceSeconds) else {
            throw LaunchError.orderSilence(seconds: order.silenceSeconds)
        }
        self = order
    }

    /// The endpoint that the worker connects to, on a host that was reached as `connection` says: ssh's variable
    /// SSH_CONNECTION, which begins with the address of the other end; nil where there is none.
    package func reachableCoordinator(connection: String?) -> String {
        let client = connection?.split(separator: " ").first.map(String.init)
        let host = client.map { $0.contains(":") ? "[\($0)]" : $0 } ?? "127.0.0.1"
        return Endpoint.reachable(coordinator, at: host)
    }

    /// `folder` with the home folder in place.
    package func expandedFolder(home: String) -> String {
        if folder == "~" { return home }
        return folder.hasPrefix("~/") ? "\(home)/\(folder.dropFirst(2))" : folder
    }
}
