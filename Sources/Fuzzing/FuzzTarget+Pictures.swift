import Foundation
import Radiography

// Pictures that are decoded here and not by a library.
extension FuzzTarget {
    static func pictures() -> FuzzTarget {
        // Made with Pillow, 13 × 9: LZW with differences of neighbours, Deflate with 16 bits, PackBits.
        let samples: [[UInt8]] = [
            """
            SUkqAI4AAACAAADhURjEflItmk+IVMKYPgoMCYaEIql44npGpZUj4GhsUjclFMwnQ+pBMqwuhAPCwdE0rGQ7oBJqFVHwJiEXkIll\
            k2HVEJFSLJNhYSDcgE4uG88ItMqJaroMicdEMomQ2oBEpxSrhshwXjgjFQznBBoxPq1bPgSC0dkkuGU8IFKJ1YL6AgoAAAEDAAEA\
            AAANAAAAAQEDAAEAAAAJAAAAAgEDAAEAAAAIAAAAAwEDAAEAAAAFAAAABgEDAAEAAAABAAAAEQEEAAEAAAAIAAAAFgEDAAEAAAAJ\
            AAAAFwEEAAEAAACGAAAAHAEDAAEAAAABAAAAPQEDAAEAAAACAAAAAAAAAA==
            """,
            """
            SUkqAP4AAAB4nAHqABX/AAB4BeAVODGAV7iIyADgR+iZyDKwmnBJIAM4GAggyDJ4UBh5qKwQJ4BwyAAYYEAGcHt4N3AwmDqwT7hv\
            sJqADFhNIJnAK2iN6DVwrdBrqEgoVZhs+I5IvHAwoHPAwbhWuLqQZVgbKKDgYLhvgIk4rsgZYFTomUgmsIHwIziVWE1oEBh5SIpo\
            pmAJYDtQeDDA6E6orEBRyABYf8BEUJHYpFDDoCj4XECcYCKId4gTkH5wMFixGHmIqWi/IBzgR5B+MMCoSCiggD7gqxhgQB9wrcDB\
            4BUIOSBnKKAIIPBusAR4aRgVwI9AUbAdlY1kUQAJAAABAwABAAAADQAAAAEBAwABAAAACQAAAAIBAwABAAAAEAAAAAMBAwABAAAA\
            CAAAAAYBAwABAAAAAQAAABEBBAABAAAACAAAABYBAwABAAAACQAAABcBBAABAAAA9QAAABwBAwABAAAAAQAAAAAAAAA=
            """,
            """
            SUkqAIQAAAD9AAhAgABAwEDAQAD/AP9ACIDAAIAAQACAQAwAQECAwABAwACAQMCA/0D/gAjAAIDAQMCAAMAMQICAwABAwACAAIBA\
            AP+ACsAAQIDAQMBAAIBADIDAwABAwACAAIAAwID/wAoAQIDAQMBAwEAAwAzAAECAwACAAIAAgEAACQAAAQMAAQAAAA0AAAABAQMA\
            AQAAAAkAAAACAQMAAQAAAAgAAAADAQMAAQAAAAWAAAAGAQMAAQAAAAEAAAARAQQAAQAAAAgAAAAWAQMAAQAAAAkAAAAXAQQAAQAA\
            AHwAAAAcAQMAAQAAAAEAAAAAAAAA
            """,
        ].compactMap { Data(base64Encoded: $0).map(Array.init) }
        return FuzzTarget(name: "tiff", weight: 4, samples: samples, isText: false) { bytes in
            let limit = 1 << 20
            let file = try TIFFFile(bytes, maximumPixels: limit)
            guard file.width * file.height <= limit, file.values().count == file.width * file.height,
                file.gray().pixels.count == file.width * file.height
            else { throw FuzzDefect(description: "a picture has other pixels than it says") }
            return true
        }
    }
}
