import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserClient

@Suite(.timeLimit(.minutes(2))) struct `Tasks that wait for a connection` {
  /// Their time is up in the moment in which it is settled, so that either may come first.
  @Test func `Tasks that wait for a connection leave no waiter behind, whatever ends the wait`()
    async
  {
    var options = ClientOptions()
    options.reconnection = .on(ReconnectionPolicy())
    for round in 0..<200 {
      let supervisor = ConnectionSupervisor { (_, _) throws(SystemCallError) in
        throw SystemCallError(call: "connect", code: .canceled)
      }
      #expect(supervisor.beginReconnecting())
      let waiting = Task { [options] in
        await withTaskGroup(of: Void.self) { group in
          for number in 0..<20 {
            let time = Duration.microseconds(900 + 10 * number)
            group.addTask { _ = try? await supervisor.current(options, before: .after(time)) }
          }
        }
      }
      try? await Task.sleep(for: .milliseconds(1))
      if round.isMultiple(of: 2) { waiting.cancel() }
      supervisor.stopReconnecting(.cancelled)
      await waiting.value
      #expect(supervisor.waiterCount == 0)
      #expect(!supervisor.beginReconnecting(), "a device that is given up stays so")
    }
  }
}
