import ArgumentParser
import VFIOUserInspection
import VFIOUserProtocol

/// Which messages are shown; all are checked, counted and recorded.
struct TraceFilter: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Show these commands and their replies only: names of the specification or numbers, with commas between.",
      valueName: "names"))
  var command: String?

  @Option(
    help: ArgumentHelp(
      "Show messages about these regions only: bar0 to bar5, rom, config, vga or numbers, with commas between.",
      valueName: "names"))
  var region: String?

  @Option(help: "Show messages of one direction only.")
  var direction: Direction?

  @Flag(help: "Show messages that violate the specification only.")
  var violations = false

  enum Direction: String, ExpressibleByArgument, CaseIterable {
    case toServer = "to-server"
    case toClient = "to-client"
  }

  /// The filter with its names looked up.
  struct Selection {
    var commands: Set<Command>?
    var regions: Set<RegionIndex>?
    var direction: MessageDirection?
    var violationsOnly = false

    func shows(_ message: CheckedMessage) -> Bool {
      if violationsOnly, message.violations.isEmpty { return false }
      if let direction, message.message.stream.direction != direction { return false }
      if let commands, !(message.header.map { commands.contains($0.command) } ?? false) {
        return false
      }
      if let regions, !(message.region.map(regions.contains) ?? false) { return false }
      return true
    }
  }

  func selection() throws -> Selection {
    var selection = Selection(violationsOnly: violations)
    selection.commands = try command.map { text in
      Set(try Self.parts(of: text).map(Self.command))
    }
    selection.regions = try region.map { text in Set(try Self.parts(of: text).map(Self.region)) }
    selection.direction = direction.map { $0 == .toServer ? .toServer : .toClient }
    return selection
  }

  static func parts(of text: String) -> [String] {
    text.split(separator: ",").map { String($0.filter { $0 != " " }) }
  }

  static func command(_ name: String) throws -> Command {
    guard let command = Names.command(named: name) else {
      let names = Names.commands.map(\.description)
      let hint = Suggestion.sentence(for: name.uppercased(), among: names)
      throw ValidationError(
        "there is no command '\(name)'.\(hint) The commands are \(names.joined(separator: ", ")).")
    }
    return command
  }

  static func region(_ name: String) throws -> RegionIndex {
    guard let region = Names.region(named: name) else {
      throw ValidationError(
        "there is no region '\(name)'. Write bar0 to bar5, rom, config, vga, or a number.")
    }
    return region
  }
}
