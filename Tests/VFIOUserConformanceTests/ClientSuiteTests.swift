import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserConformance

@Suite(.timeLimit(.minutes(3))) struct `Checks of clients` {
  /// A client that waits for questions, or one that ends when it is done.
  private func suite(
    _ fault: ClientFault, in folder: ScratchFolder, asks: Bool, quiet: Duration = .milliseconds(300)
  ) -> ClientSuite {
    let path = FilePath(folder.path("client"))
    let launcher = ScriptedLauncher(
      path: path, fault: fault, linger: asks ? .milliseconds(400) : .zero)
    return ClientSuite(
      path: path, launcher, timeout: .seconds(10),
      quiet: asks ? .milliseconds(60) : quiet)
  }

  private static func asks(_ check: ClientCheck) -> Bool { check.subject.group == "questions" }

  @Test(arguments: [false, true])
  func `A client that is right passes each check`(asks: Bool) throws {
    let folder = try ScratchFolder()
    let checks = ClientCheck.all.filter { Self.asks($0) == asks }
    let results = try suite(ClientFault(), in: folder, asks: asks).run(checks)
    let others = results.filter { $0.outcome != .passed }
    #expect(others.isEmpty, "\(others.map { "\($0.subject.number): \($0.outcome)" })")
  }

  @Test func `Each check has a fault of its own`() {
    let numbers = Set(ClientCheck.all.map(\.subject.number))
    #expect(numbers.count == ClientCheck.all.count)
    #expect(numbers.subtracting(ClientFault.all.keys).sorted() == [])
    #expect(Set(ClientFault.all.keys).subtracting(numbers).sorted() == [])
  }

  @Test(arguments: Set(ClientCheck.all.map(\.subject.group)).sorted())
  func `Each check fails with a client that has its fault`(group: String) throws {
    let folder = try ScratchFolder()
    // What a right client does with a plain server is what it is compared with.
    let plain = try suite(ClientFault(), in: folder, asks: group == "questions").play(.plain)
    for check in ClientCheck.all where check.subject.group == group {
      let number = check.subject.number
      let fault = try #require(ClientFault.all[number])
      let broken = suite(
        fault, in: folder, asks: Self.asks(check), quiet: .milliseconds(80))
      let outcome = check.outcome(try broken.play(check.scenario), plain)
      #expect(
        outcome.word == "fail" || outcome.word == "differs",
        "check \(number), \(check.subject.title): \(outcome)")
    }
  }

  @Test func `A client that never connects is an error`() throws {
    let folder = try ScratchFolder()
    let path = FilePath(folder.path("client"))
    let elsewhere = ScriptedLauncher(path: FilePath(folder.path("elsewhere")))
    let suite = ClientSuite(path: path, elsewhere, timeout: .milliseconds(300))
    #expect(throws: LaunchFailure.self) { try suite.run(ClientCheck.all) }
  }
}
