import CLinux
import Foundation
import NVMeDevice
import SystemPackage
import Testing

/// A folder, removed with the object and all that is in it.
final class TestFolder {
  let path: FilePath

  init() throws {
    path = FilePath("/tmp/nvme-test-\(clinux_process_id())-\(UInt64.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(
      atPath: path.string, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path.string) }

  func callAsFunction(_ name: String) -> FilePath { path.appending(name) }

  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path.string)) ?? []).sorted()
  }

  func move(_ name: String, to other: String) throws {
    try FileManager.default.moveItem(atPath: self(name).string, toPath: self(other).string)
  }

  func copy(_ name: String, to other: String) throws {
    try FileManager.default.copyItem(atPath: self(name).string, toPath: self(other).string)
  }

  func write(_ bytes: [UInt8], to name: String) throws {
    try Data(bytes).write(to: URL(filePath: self(name).string))
  }

  func bytes(of name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: self(name).string)))
  }
}

/// A file in a folder of its own, removed with the object.
final class TestFile {
  let path: FilePath

  init(size: UInt64? = nil) throws {
    path = FilePath("/tmp/nvme-test-\(clinux_process_id())-\(UInt64.random(in: 0 ... .max))")
    if let size { _ = try StorageFile(path: path, create: size) }
  }

  deinit {
    for suffix in ["", ".nvme"] {
      _ = unsafe FilePath(path.string + suffix).withPlatformString { unsafe clinux_unlink($0) }
    }
  }
}
