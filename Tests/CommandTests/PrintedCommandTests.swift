import Foundation
import TestSupport
import Testing

/// `Scripts/printing.bash`, as the demonstrations use it.
@Suite struct `A command that a demonstration prints` {
  private static let scripts = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Scripts").standardized

  @Test(arguments: [
    ["qemu", "-device", #"{"driver":"vfio-user-pci","socket":{"path":"/tmp/a"}}"#, "-m", "512M"],
    ["a", "it's", "two words", "", "$HOME `x` \\ \"q\"", "-z", "*"],
  ])
  func `A printed command is read by a shell as the words that were run`(words: [String]) throws {
    let script = """
      . '\(Self.scripts.path)/printing.bash'
      printed=$(show_command "$@")
      eval "set -- $printed"
      printf '%s\\n' "$@"
      """
    let run = try ProgramRun(URL(filePath: "/bin/bash"), ["-c", script, "x"] + words)
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.text == words.map { $0 + "\n" }.joined())
  }
}
