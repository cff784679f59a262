import LinuxPrimitives
import SystemPackage
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

/// What is wrong with a client.
struct ClientFault: Sendable {
  /// Changes a request before it is sent.
  var request: @Sendable (inout Request) -> Void = { _ in }
  /// Looks at a reply; true if the client gives up because of it.
  var dislikes: @Sendable (_ request: Request, _ reply: Message) -> Bool = { _, _ in false }
  /// Changes the answer to a question of the server; false if there is to be none.
  var answer: @Sendable (_ question: Message, _ reply: inout [UInt8]) -> Bool = { _, _ in true }
  var ways: Set<Way> = []

  /// What it does otherwise than it should.
  enum Way: Sendable {
    /// A message that does not come at once is an error.
    case impatient
    /// A reply has to come within 5 ms.
    case hasty
    /// A failure is a crash.
    case crashes
    /// A failure is no reason to end.
    case hangs
    /// A reply to nothing is a failure.
    case startled
    /// An interrupt is a crash.
    case afraidOfInterrupts
    case ignoresDescriptorLimit, ignoresTransferLimit, ignoresMajor, ignoresTwin, ignoresResetFlag
    /// The server's questions are not answered.
    case mute
    case asksRegionFirst, leavesGarbage, answersUnasked, sendsVersionTwice, skipsVersion
  }

  func has(_ way: Way) -> Bool { ways.contains(way) }
}

/// Starts scripted clients.
struct ScriptedLauncher: ClientLauncher {
  let path: FilePath
  var fault = ClientFault()
  /// How long it waits for questions of the server once it is done.
  var linger = Duration.zero

  func start() throws(LaunchFailure) -> any RunningClient {
    let client = ScriptedClient()
    let (path, fault, linger) = (path, fault, linger)
    do throws(SystemCallError) {
      try DetachedThread.start("client") {
        client.finish(ClientScript(fault, linger: linger).run(path))
      }
    } catch {
      throw LaunchFailure("\(error)")
    }
    return client
  }
}

/// A client on a thread, which looks like a process.
final class ScriptedClient: RunningClient {
  private let code = Monitor<Int32?>(nil)

  var exitCode: Int32? { code.withLock { $0 } }
  func finish(_ exitCode: Int32) { code.update { $0 = exitCode } }
  func end() {
    // The server closes the connection, and nothing in the script waits longer than a second for it.
    _ = code.withLock(when: { $0 != nil }, before: .after(.seconds(5))) { $0 }
  }
}
