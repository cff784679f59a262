import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET resize`: makes a disk larger.
struct CtlResize: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resize",
    abstract: "Make a disk larger; its guest sees the new size.",
    usage: "vfio-user ctl <socket> resize <device> [--size <size>] [--namespace <number>] [--json]",
    discussion: """
      vfio-user ctl /run/vfio-user.sock resize /tmp/disk.sock --size 20G

      Without --size the disk looks whether its files have another size by now, as on SIGHUP.
      """)

  @ParentCommand var parent: Ctl

  @OptionGroup var output: CtlOutput

  @Argument(help: "The socket of the disk.")
  var device: String

  @Option(help: ArgumentHelp("The new size: 20G.", valueName: "size"))
  var size: String?

  @Option(help: ArgumentHelp("Which namespace of several, from 1.", valueName: "number"))
  var namespace: Int?

  func run() throws {
    let process = try parent.connect()
    let result = try process.call(
      "resize",
      ResizeParameters(socket: process.socket(device), namespace: namespace, size: size),
      as: JSONValue.self, for: .seconds(30))
    try output.print(result, size.map { "\(device) has \($0)" } ?? "\(device) was measured")
  }
}
