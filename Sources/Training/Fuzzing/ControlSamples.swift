import Foundation

/// Control messages of every kind, with and without their optional parts, as base64.
///
/// They are bytes and not values, so that messages of earlier programs stay among them.
enum ControlSamples {
    static let worker = decoded(workerText)
    static let coordinator = decoded(coordinatorText)

    private static func decoded(_ text: String) -> [[UInt8]] {
        text.split(separator: "\n").compactMap { Data(base64Encoded: String($0)).map { Array($0) } }
    }

    private static let workerText = """
        AAAA
        """

    private static let coordinatorText = """
        AAAA
        """
}
