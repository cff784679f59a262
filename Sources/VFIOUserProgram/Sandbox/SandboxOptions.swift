package import ArgumentParser

/// How far a process that serves confines itself.
package enum SandboxMode: String, ExpressibleByArgument, CaseIterable, Codable, Sendable {
  /// Not at all.
  case off
  /// As far as the kernel can; what it lacks is said in the log.
  case on
  /// Completely, or it does not serve.
  case strict
}

/// The confinement of a process that serves.
package struct SandboxOptions: ParsableArguments {
  @Option(
    help: """
      Whether the process confines itself to what its devices need, before it serves: on, off, or strict, which \
      refuses to serve when the kernel lacks a part of it.
      """)
  package var sandbox: SandboxMode?

  @Option(
    help: ArgumentHelp(
      "A file or folder that devices added later may use, sockets in it too; may be repeated.",
      valueName: "path"), completion: .file())
  package var sandboxAllow: [String] = []

  package init() {}

  /// The same on a command line.
  package var arguments: [String] {
    [sandbox.map { "--sandbox=\($0.rawValue)" }].compactMap(\.self)
      + sandboxAllow.map { "--sandbox-allow=\($0)" }
  }

  /// These, and those of the command above, whose mode counts where this one has none.
  package func or(_ other: Self) -> Self {
    var both = self
    both.sandbox = sandbox ?? other.sandbox
    both.sandboxAllow += other.sandboxAllow
    return both
  }
}
