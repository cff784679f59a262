import Testing
import VFIOUserProtocol

@testable import VFIOUserServer

@Suite struct `The way between migration states` {
  /// Every way, state by state.
  private static let ways: [(DeviceState, DeviceState, [DeviceState])] = [
    (.running, .stop, [.stop]), (.running, .stopCopy, [.stop, .stopCopy]),
    (.running, .resuming, [.stop, .resuming]), (.running, .preCopy, [.preCopy]),
    (.stop, .running, [.running]), (.stop, .stopCopy, [.stopCopy]), (.stop, .resuming, [.resuming]),
    (.stop, .preCopy, [.running, .preCopy]), (.stopCopy, .stop, [.stop]),
    (.stopCopy, .running, [.stop, .running]), (.stopCopy, .resuming, [.stop, .resuming]),
    (.resuming, .stop, [.stop]), (.resuming, .running, [.stop, .running]),
    (.resuming, .stopCopy, [.stop, .stopCopy]), (.resuming, .preCopy, [.stop, .running, .preCopy]),
    (.preCopy, .running, [.running]), (.preCopy, .stopCopy, [.stopCopy]),
    (.preCopy, .stop, [.running, .stop]), (.preCopy, .resuming, [.running, .stop, .resuming]),
  ]

  @Test func `The way is the shortest, without a saving state in between`() {
    for (start, goal, way) in Self.ways {
      var state = start
      var steps: [DeviceState] = []
      while state != goal, let next = MigrationArc.next(from: state, to: goal) {
        steps.append(next)
        state = next
      }
      #expect(steps == way, "\(start) to \(goal)")
    }
  }

  @Test
  func `There is no way from STOP_COPY to PRE_COPY, to and from ERROR, and to what is not used`() {
    #expect(MigrationArc.next(from: .stopCopy, to: .preCopy) == nil)
    let all = (0...8).map { DeviceState(rawValue: $0) }
    for state in all {
      for other in [.error, .runningP2P, .preCopyP2P, DeviceState(rawValue: 8)] {
        #expect(MigrationArc.next(from: state, to: other) == nil)
        #expect(MigrationArc.next(from: other, to: state) == nil)
      }
    }
    #expect(Self.ways.count == 5 * 4 - 1)
  }
}
