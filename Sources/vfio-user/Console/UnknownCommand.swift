import ArgumentParser
import VFIOUserProgram

/// Detects unknown commands; the parser would report the first option after one instead.
enum UnknownCommand {
  /// Checks the words before the first option, as far as they have to be commands.
  static func check(_ arguments: [String], _ root: any ParsableCommand.Type) throws {
    var command = root
    for word in arguments {
      let commands = command.configuration.subcommands
      // The word behind `ctl` is a path.
      guard !commands.isEmpty, command != Ctl.self, !word.hasPrefix("-"), word != "help"
      else { return }
      let names = commands.filter { $0.configuration.shouldDisplay }.map { $0._commandName }
      guard let known = commands.first(where: { $0._commandName == word }) else {
        throw UsageError(
          "there is no command '\(word)'.\(Suggestion.sentence(for: word, among: names)) The commands are \(names.joined(separator: ", "))."
        )
      }
      command = known
    }
  }
}
