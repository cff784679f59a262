/// A device as somebody has asked for it: its kind, and the arguments of the command line that describe it.
///
/// Paths are absolute, and each argument has the form `--name=value` or `--name`, so that the request means the same
/// wherever it is read.
package struct DeviceRequest: Codable, Equatable, Sendable {
  /// The subcommand of `serve`.
  package var kind: String
  package var arguments: [String]

  package init(kind: String, arguments: [String]) {
    self.kind = kind
    self.arguments = arguments
  }
}

/// What a caller of the control socket asks for with `add`: the options of the command line, in one of two forms.
package struct AddParameters: Codable, Sendable {
  /// The kind of device.
  package var device: String
  /// As on the command line.
  package var arguments: [String]?
  /// As in a configuration file.
  package var options: [String: JSONValue]?
  /// What relative paths start from; else the working directory of the process.
  package var folder: String?

  package init(
    device: String, arguments: [String]? = nil, options: [String: JSONValue]? = nil,
    folder: String? = nil
  ) {
    self.device = device
    self.arguments = arguments
    self.options = options
    self.folder = folder
  }
}

/// What a program knows of the devices that it can serve, for those that come while it runs.
package struct DeviceCatalogue: Sendable {
  /// Turns parameters of `add` into a request, with paths made absolute.
  let read: @Sendable (AddParameters) throws -> DeviceRequest
  /// Makes what a request asks for.
  let make: @Sendable (DeviceRequest) throws -> DeviceToServe
  /// Checks that no two devices want the same thing for themselves.
  let check: @Sendable ([DeviceToServe]) throws -> Void
  /// The configuration file with these devices, some of which have a process of their own.
  let write:
    @Sendable ([DeviceRequest], _ isolated: [DeviceRequest], _ logLevel: String) throws -> String

  package init(
    read: @escaping @Sendable (AddParameters) throws -> DeviceRequest,
    make: @escaping @Sendable (DeviceRequest) throws -> DeviceToServe,
    check: @escaping @Sendable ([DeviceToServe]) throws -> Void,
    write: @escaping @Sendable ([DeviceRequest], [DeviceRequest], String) throws -> String
  ) {
    self.read = read
    self.make = make
    self.check = check
    self.write = write
  }
}
