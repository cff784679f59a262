import Foundation
import TestSupport
import Testing

extension Guests {
  /// The scripted server of `vfio-user check --client`, and a QEMU that somebody else has written.
  @Suite(.timeLimit(.minutes(3))) struct `Checks of QEMU` {
    private struct Report: Decodable {
      struct Summary: Decodable { let pass, fail, differs, skip: Int }
      let summary: Summary
    }

    /// The groups about what is sent need three starts.
    @Test func `What QEMU sends keeps to the specification, and nothing of it is missed`() throws {
      let folder = try ScratchFolder()
      let machine = Machine()
      let qemu =
        [GuestEnvironment.qemu.path] + machine.arguments + ["-S", "-device", machine.plug("{}")]
      let run = try ProgramRun(
        [
          "check", "--client", "--listen", folder.path("listen"), "--timeout", "60", "--json",
          "--only", "requests,memory,interrupts,accesses", "--",
        ] + qemu)
      let summary = try run.decoded(Report.self).summary
      #expect(run.exitCode == 0, "\(run.text)")
      #expect(summary.fail == 0 && summary.pass >= 30, "\(run.text)")
    }
  }
}
