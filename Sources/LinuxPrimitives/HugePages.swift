internal import SystemPackage

/// Whether the kernel makes huge pages of memory files that ask for them with `madvise`.
///
/// The administrator decides that; the usual setting of the kernel is `never`.
package enum HugePages {
  /// Why there are none.
  package struct Refusal: Error, Equatable, CustomStringConvertible {
    /// The setting that is in force, nil in a kernel without huge pages.
    package let setting: String?

    /// Cause and remedy.
    package var description: String {
      guard let setting else {
        return "this kernel has no huge pages (CONFIG_TRANSPARENT_HUGEPAGE)"
      }
      return
        "the kernel makes none of memory files: \(HugePages.folder)/shmem_enabled says '\(setting)'. As root: echo advise > \(HugePages.folder)/shmem_enabled"
    }
  }

  /// Where the kernel has its settings.
  package static let folder = "/sys/kernel/mm/transparent_hugepage"

  /// Looks at the kernel's settings; a process that may not read them is not refused.
  package static func check(_ folder: String = folder) throws(Refusal) {
    // Since Linux 6.11 there is a setting for each size; `inherit` is that for all.
    let ofSize = try? kernelText("\(folder)/hugepages-2048kB/shmem_enabled")
    let ofAll: String
    do throws(Errno) {
      ofAll = try kernelText("\(folder)/shmem_enabled")
    } catch {
      guard error == .noSuchFileOrDirectory else { return }
      throw Refusal(setting: nil)
    }
    let general = chosen(in: ofAll)
    let setting = ofSize.flatMap(chosen(in:)) ?? "inherit"
    for word in [general == "deny" ? general : nil, setting == "inherit" ? general : setting] {
      if word == "never" || word == "deny" { throw Refusal(setting: word) }
    }
  }

  /// The word in brackets.
  private static func chosen(in text: String) -> String? {
    text.split(separator: "[").dropFirst().first?.split(separator: "]").first.map(String.init)
  }
}
