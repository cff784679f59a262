import ArgumentParser
import VFIOUserServer

/// The values of `--memory-files`.
enum MemoryFilesOption: String, ExpressibleByArgument, CaseIterable {
  case memory, any

  var files: MemoryFiles { self == .any ? .any : .memory }
}

extension DeviceCommand {
  /// The options of the device's server.
  func serverOptions(_ log: DeviceLog) -> ServerOptions {
    var options = log.serverOptions
    options.memoryFiles = socket.memoryFiles.files
    return options
  }
}
