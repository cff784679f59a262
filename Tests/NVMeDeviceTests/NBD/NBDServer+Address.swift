import TestSupport

@testable import NVMeDevice

extension NBDServer {
  /// The address of an export.
  func address(
    _ export: String = "", _ parameters: String = "", scheme: String = "nbd+unix", user: String = ""
  ) throws -> NBDAddress {
    try NBDAddress(parsing: uri(export, parameters, scheme: scheme, user: user))
  }
}
