import ArgumentParser
import FoundationEssentials
import VFIOUserProgram

/// `vfio-user ctl SOCKET call`: calls any method.
struct CtlCall: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call",
    abstract: "Call any method with parameters in JSON, and print the result.",
    usage: "vfio-user ctl <socket> call <method> [<parameters>]",
    discussion: """
      vfio-user ctl /run/vfio-user.sock call methods
      vfio-user ctl /run/vfio-user.sock call add '{"device": "edu", "options": {"socket": "/tmp/edu.sock"}}'
      """)

  @ParentCommand var parent: Ctl

  @Argument(help: "The method.")
  var method: String

  @Argument(help: "Its parameters: an object of JSON.")
  var parameters: String?

  func run() throws {
    let values = try parameters.map { text in
      do {
        return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
      } catch {
        throw UsageError("the parameters are not JSON: \(text)")
      }
    }
    try say(prettyJSON(parent.connect().call(method, values, for: .seconds(60))))
  }
}
