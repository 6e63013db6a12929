private import CDICOM
private import Foundation
import Platform

/// The life of a decoding process: reads files that may be hostile, in a process that may die.
package enum DecodeChild {
    /// The address space that a decoding process may use.
    static let memoryLimit: UInt64 = 3 << 30
    /// The processor time that one file may take, in seconds.
    static let processorSeconds: UInt32 = 20

    /// Answers requests on descriptor 0, a socket, until the parent closes it; returns the exit status.
    ///
    /// The process is confined first: no core dumps, no writing of files, bounded memory and processor time.
    package static func run() -> Int32 {
        var status = stat()
        guard fstat(0, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
            StandardStream.error.say("pleura decode-worker is started by pleura itself.\n")
            return 64
        }
        // Ctrl-C on a terminal reaches every process of the command; what becomes of this one, its parent decides.
        signal(SIGINT, SIG_IGN)
        _ = cdicom_prepare()
        let failure = cdicom_confine(memoryLimit)
        guard failure == 0 else { return 71 }
        let stream = SocketStream(descriptor: 0)
        do {
            try stream.send(DecodeMessage.greeting, within: nil)
            while true {
                let header = try stream.receive(DecodeMessage.requestHeader, within: nil)
                let word = DecodeMessage.number(header, at: 0)
                let size = word & ~DecodeMessage.wholeFlag
                let length = DecodeMessage.number(header, at: 4)
                guard length <= DecodeMessage.textLimit, size <= 1 << 15 || size == DecodeMessage.mask else {
                    return 76
                }
                let path = String(decoding: try stream.receive(length, within: nil), as: UTF8.self)
                guard cdicom_limit_time(processorSeconds) == 0 else { return 71 }
                let wantsWhole = word & DecodeMessage.wholeFlag != 0
                try answer(.init(size: size, wantsWhole: wantsWhole, path: path), on: stream)
            }
        } catch {
            return error == .closed ? 0 : 74
        }
    }

    private static func answer(_ request: DecodeMessage.Request, on stream: SocketStream) throws(SocketStream.Failure) {
        let encoder = JSONEncoder()
        let status: DecodeMessage.Status
        let text: Data?
        var pixels: [UInt8] = []
        do throws(RadiographError) {
            switch request.size {
            case 0:
                let report = try RadiographReader.probe(request.path)
                text = try? encoder.encode(report)
            case DecodeMessage.mask:
                let parts = request.path.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
                let path = parts.count == 2 ? String(parts[1]) : ""
                let mask = try MaskFile.read(path, values: parts.first.flatMap { MaskValues($0) } ?? .one)
                pixels = mask.runs.flatMap { DecodeMessage.number(Int($0.x)) + DecodeMessage.number(Int($0.y)) }
                let report = DecodeMessage.MaskReport(width: mask.width, height: mask.height, values: mask.values)
                text = try? encoder.encode(report)
            default:
                let radiograph = try RadiographReader.read(request.path)
                pixels = radiograph.image.squared(to: request.size).pixels
                if request.wantsWhole { pixels += radiograph.image.pixels }
                let report = FileReport(
                    metadata: radiograph.metadata,
                    contentHash: "",
                    remarks: radiograph.remarks
                )
                text = try? encoder.encode(report)
            }
            status = .read
        } catch {
            status = .refused
            text = try? encoder.encode(DecodeMessage.Refusal(kind: error.kind, reason: error.reason, id: error.id))
        }
        // Only texts and finite numbers are encoded; an empty reply is a refusal all the same.
        let reply = text ?? Data()
        try stream.send(
            DecodeMessage.number(status.rawValue) + DecodeMessage.number(reply.count)
                + DecodeMessage.number(pixels.count) + Array(reply),
            within: nil
        )
        try stream.send(pixels, within: nil)
    }
}
