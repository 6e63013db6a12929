import CoordinatorRuntime
import Foundation
import Synchronization
import Testing

/// The launcher and its coordinator, of which one may be stopped.
@Suite(.timeLimit(.minutes(15))) struct LineChannelTests {
    private func pair() throws -> (LineChannel, LineChannel) {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (LineChannel(ends[0]), LineChannel(ends[1]))
    }

    @Test func whoDoesNotReadHoldsNobodyUpAndMissesNothingThatMatters() throws {
        let (leads, watches) = try pair()
        // Far more than a socket holds.
        for step in 0..<20_000 {
            #expect(leads.send(RunEvent.alive(completedSteps: UInt64(step)), isFleeting: true))
            if step % 100 == 0 { #expect(leads.send(RunEvent.evicted(incarnation: UInt64(step)))) }
        }
        #expect(leads.send(RunEvent.began))
        let evicted = Mutex<[UInt64]>([])
        let beats = Mutex(0)
        let hasBegun = Mutex(false)
        let reader = Thread {
            watches.receive(RunEvent.self) { message in
                switch message {
                case .evicted(let incarnation): evicted.withLock { $0.append(incarnation) }
                case .alive: beats.withLock { $0 += 1 }
                case .began: hasBegun.withLock { $0 = true }
                default: break
                }
            }
        }
        reader.start()
        leads.finish()
        leads.shutdown()
        while !reader.isFinished { usleep(1000) }
        #expect(evicted.withLock { $0 } == (0..<200).map { UInt64($0 * 100) })
        #expect(hasBegun.withLock { $0 })
        #expect(beats.withLock { $0 } < 20_000)
    }

    @Test func whoIsGoneIsTold() throws {
        let (leads, watches) = try pair()
        watches.shutdown()
        #expect(!leads.send(RunEvent.began))
        leads.finish()
    }
}
