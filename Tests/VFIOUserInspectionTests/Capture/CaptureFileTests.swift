import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite struct `The file of a recording` {
  @Test func `It has the messages when it is flushed`() throws {
    let folder = try ScratchFolder()
    let path = folder.path("a.pcapng")
    let file = try CaptureFile(path: FilePath(path), description: "a test")
    file.add(traced(.toServer, message(.deviceReset)))
    file.flush()
    var reader = try CaptureReader([UInt8](Data(contentsOf: URL(filePath: path))))
    #expect(reader.next()?.header?.command == .deviceReset && reader.next() == nil)
    #expect(reader.description == "a test" && reader.defect == nil)
  }

  @Test func `A file with contents is replaced only when that is wanted`() throws {
    let folder = try ScratchFolder()
    let path = folder.path("a.pcapng")
    try Data("precious".utf8).write(to: URL(filePath: path))
    #expect(throws: Errno.fileExists) {
      try CaptureFile(path: FilePath(path), description: "")
    }
    #expect(try Data(contentsOf: URL(filePath: path)) == Data("precious".utf8))
    _ = try CaptureFile(path: FilePath(path), description: "new", replaces: true)
    var reader = try CaptureReader([UInt8](Data(contentsOf: URL(filePath: path))))
    #expect(reader.next() == nil && reader.description == "new" && reader.defect == nil)
  }

  @Test func `An empty file is used`() throws {
    let folder = try ScratchFolder()
    let path = folder.path("a.pcapng")
    try Data().write(to: URL(filePath: path))
    _ = try CaptureFile(path: FilePath(path), description: "new")
    #expect(try !Data(contentsOf: URL(filePath: path)).isEmpty)
  }

  @Test func `A folder that is not there is an error`() {
    #expect(throws: Errno.noSuchFileOrDirectory) {
      try CaptureFile(path: "/nonexistent/a.pcapng", description: "")
    }
  }

  /// /dev/full fails each write as a full disk does.
  @Test func `A full disk ends the recording and is remembered`() throws {
    let full = try FileDescriptor.open(FilePath("/dev/full"), .writeOnly)
    let file = CaptureFile(full, closes: true, description: "")
    file.add(traced(.toServer, message(.deviceReset)))
    file.flush()
    #expect(file.failure == .noSpace)
    file.add(traced(.toServer, message(.deviceReset)))
    #expect(file.count == 1)
  }
}
