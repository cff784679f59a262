import ArgumentParser
import FoundationEssentials
import SystemPackage
import VFIOUserProgram

extension DeviceCatalogue {
  /// The devices of this program.
  static let standard = DeviceCatalogue(read: read, make: make, check: check, write: write)

  private static func read(_ parameters: AddParameters) throws -> DeviceRequest {
    let folder = parameters.folder ?? FileManager.default.currentDirectoryPath
    guard let kind = ConfiguredDevice.kinds.first(where: { $0.name == parameters.device }) else {
      let names = ConfiguredDevice.kinds.map(\.name)
      throw CommandError(
        "there is no device '\(parameters.device)'.\(Suggestion.sentence(for: parameters.device, among: names)) The devices are \(names.joined(separator: ", "))."
      )
    }
    switch (parameters.arguments, parameters.options) {
    case (let arguments?, nil):
      for name in ConfigurationKey.ofProcess.sorted()
      where arguments.contains(where: { $0 == "--\(name)" || $0.hasPrefix("--\(name)=") }) {
        throw CommandError("--\(name) is for the process, not for one of its devices")
      }
      return DeviceRequest(
        kind: kind.name,
        arguments: try DeviceArguments.normal(arguments, of: kind.command, folder: folder))
    case (nil, let options?):
      let device = try ConfiguredDevice(
        kind, number: 1, ConfigurationTable(options),
        in: ConfigurationPlace(file: "the request"), folder: FilePath(folder))
      guard let request = device.request else { throw CommandError("these options say nothing") }
      return request
    default:
      throw CommandError(
        #"say what the device is: either 'arguments', as on the command line (["--socket=/tmp/a"]), or 'options', as in a configuration file ({"socket": "/tmp/a"})"#
      )
    }
  }

  private static func make(_ request: DeviceRequest) throws -> DeviceToServe {
    let command: any ServeSubcommand
    do {
      guard
        let parsed = try Serve.parseAsRoot([request.kind] + request.arguments)
          as? any ServeSubcommand
      else { throw CommandError("'\(request.kind)' is not a device") }
      command = parsed
    } catch let error as CommandError {
      throw error
    } catch {
      throw CommandError(Serve.message(for: error))
    }
    guard case .path(let path)? = command.socket.place else {
      throw CommandError(
        "a device that is added needs a socket of its own: --socket PATH. Descriptors and systemd's sockets are for devices that the process starts with."
      )
    }
    guard (command as? ServeSerial)?.stdio != true else {
      throw CommandError(
        "--stdio is for a device that the process starts with; use --pty or --listen.")
    }
    return DeviceToServe(command, placeName: path, request: request)
  }

  private static func check(_ devices: [DeviceToServe]) throws {
    let commands = devices.compactMap { $0.command as? any ServeSubcommand }
    try checkClaims(of: commands.map { ($0, nil) })
  }

  private static func write(
    _ requests: [DeviceRequest], _ isolated: [DeviceRequest], _ logLevel: String
  ) throws -> String {
    ConfigurationWriter.text(requests, isolated: isolated, logLevel: logLevel)
  }
}

extension ConfigurationTable {
  /// A table with the members of a JSON object.
  fileprivate init(_ members: [String: JSONValue]) {
    self.init(
      line: 1,
      entries: members.mapValues { ConfigurationEntry(line: 1, value: ConfigurationValue($0)) })
  }
}

extension ConfigurationValue {
  fileprivate init(_ value: JSONValue) {
    switch value {
    case .flag(let flag): self = .flag(flag)
    case .integer(let integer): self = .number(Int(integer))
    case .text(let text): self = .text(text)
    case .list(let list): self = .list(list.map { ConfigurationValue($0) })
    case .object(let members): self = .table(ConfigurationTable(members))
    case .null, .number: self = .other("\(value)")
    }
  }
}
