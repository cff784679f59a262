import Foundation
import LinuxPrimitives
import TestSupport
import Testing

@Suite struct `Huge pages of memory files` {
  /// A folder that looks like the kernel's, with the setting for all sizes and that for 2 MiB.
  private func settings(_ all: String?, _ size: String?) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "huge-pages-\(UInt64.random(in: 0 ... .max))")
    let inner = folder.appending(path: "hugepages-2048kB")
    try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
    for (place, word) in [(folder, all), (inner, size)] {
      guard let word else { continue }
      let text = "always [\(word)] force\n"
      try Data(text.utf8).write(to: place.appending(path: "shmem_enabled"))
    }
    return folder
  }

  @Test(
    arguments: [
      ("never", nil, "never"), ("deny", nil, "deny"), ("never", "inherit", "never"),
      ("advise", "never", "never"), ("deny", "advise", "deny"), ("advise", nil, nil),
      ("always", "inherit", nil), ("never", "advise", nil), ("within_size", "always", nil),
    ] as [(String, String?, String?)])
  func `The setting for the size counts before that for all, unless all are denied`(
    all: String, size: String?, refusal: String?
  ) throws {
    let folder = try settings(all, size)
    defer { try? FileManager.default.removeItem(at: folder) }
    var found: HugePages.Refusal?
    do throws(HugePages.Refusal) { try HugePages.check(folder.path) } catch { found = error }
    #expect(found?.setting == refusal)
    #expect((found == nil) == (refusal == nil))
    if let found { #expect("\(found)".contains("echo advise")) }
  }

  @Test
  func `A kernel without huge pages is named, and settings that cannot be read are no refusal`()
    throws
  {
    let folder = try settings(nil, nil)
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(throws: HugePages.Refusal.self) { try HugePages.check(folder.path) }
    // A folder where the file is to be cannot be read, as what a sandbox keeps away.
    try FileManager.default.createDirectory(
      at: folder.appending(path: "shmem_enabled"), withIntermediateDirectories: false)
    #expect(throws: Never.self) { try HugePages.check(folder.path) }
  }
}
