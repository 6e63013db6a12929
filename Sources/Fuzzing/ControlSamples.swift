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
        CQcAAAAAAAAAEmAIARIFMC4xLjAaB2hvc3Qtw6QiB2Jvb3QvbnMomyAwEDoEZnAzMjoIYmYxNi1kb3RCA2pvYkoQdGNwOi8vMTAu\
        MC4wLjE6NUoKaW5wcm9jOi8veFIDYWJjWgYIAxACGAc=
        CQcAAAAAAAAAEgA=
        CQcAAAAAAAAAGgoICRIAGgFkIgFu
        CQcAAAAAAAAAIhUIBhAEGP///////////wEggLzBlgs=
        CQcAAAAAAAAAKmsIERABGhIJ//////////8RAQAAAAAAAAAiCQkCAAAAAAAAACoMAAAAPwAAAIAAAIB/MZx1AIg85Dd+Og5kZWNv\
        ZGVyLndlaWdodEIfCMCNtwEQgKjWuQcY2DYgATAIOICAgICAIECAgICAIA==
        CQcAAAAAAAAAKgQaAEIA
        CQcAAAAAAAAAMgIIBQ==
        CQcAAAAAAAAAMhQSEgkBAAAAAAAAABECAAAAAAAAAA==
        CQcAAAAAAAAAOhIIAxAIGAoiCgECAwQF/////w8=
        CQcAAAAAAAAAQg8IZBIECAEQBBiAgICAgAE=
        CQcAAAAAAAAAQgwIZBICEAEiBGdvbmU=
        CQcAAAAAAAAAShUIAxAFGg1saW5lCmxpbmUJdGFiIAA=
        CQcAAAAAAAAASgQIAxAJ
        CQcAAAAAAAAAUgkKB1NJR1RFUk0=
        """

    private static let coordinatorText = """
        CAMSSwoDam9iEAIaCWE6CgliOiAxCiIBZCoEZnAzMjIdCCgSEHN0ZXAtMDAwMDAwNDAuaDUiBy9ydW5zL2E4gOWad0CA5JfQEkiA\
        yK+gJQ==
        CAMSETiA5Zp3QIDkl9ASSIDIr6Al
        CAMaNwo1VGhlIHdvcmtlciBzZXJ2ZXMgam9iIGEsIHRoaXMgY29vcmRpbmF0b3IgcnVucyBqb2IgYi4=
        CAMiWggDEhoSBWhvc3QwGgRib290IAQqCXRjcDovL2g6MBIcCAESBWhvc3QxGgRib290IAQqCXRjcDovL2g6MRIcCAcSBWhvc3Q3\
        GgRib290IAQqCXRjcDovL2g6Nw==
        CAMqHggMEAEYCyIDAAIEKgMCAgIyAwABAjoDAAIEQARIAQ==
        CAMqGggMEAEYASIFAAIEBggqAQAyAQA6AQhABEgB
        CAMyRAgLEiANF7fROBUAAACAHQEAAAAld75/Py0AAIB/NQrXIzw4ASIeCAwQARgLIgMAAgQqAwICAjIDAAECOgMAAgRABEgB
        CAMyJBIgDRe30TgVAAAAgB0BAAAAJXe+fz8tAACAfzUK1yM8OAEYAQ==
        CAM6FwgDEAIaEXdvcmtlciAxIHdhcyBsb3N0
        CANCBggCEDIgCA==
        CANKCAgyEgQIAhAD
        CANSCAoGQ3RybC1D
        CANaAA==
        CANiGggEEhZXb3JrZXIgMiBvbiBob3N0IGIg4oCm
        """
}
