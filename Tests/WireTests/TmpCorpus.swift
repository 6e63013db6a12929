import Coordination
import Foundation
import Testing
import Wire

@Suite struct TmpCorpus {
    @Test func corpus() throws {
        for body in SampleMessages.worker {
            if let b = try? WireProtocol.encode(WorkerMessage(incarnation: 7, body: body)) { print("WORKER " + Data(b).base64EncodedString()) }
        }
        for body in SampleMessages.coordinator {
            if let b = try? WireProtocol.encode(CoordinatorMessage(fencing: 3, body: body)) { print("COORD " + Data(b).base64EncodedString()) }
        }
    }
}
