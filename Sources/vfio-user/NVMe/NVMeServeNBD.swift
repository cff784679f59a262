import ArgumentParser
import Glibc
import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// `vfio-user nvme serve-nbd`: lets programs that speak NBD look at a disk behind a vfio-user socket.
///
/// nbdkit serves it, and calls this program for each request: that is slow, and little code. It is for looking and copying, not
/// for a guest.
struct NVMeServeNBD: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve-nbd",
    abstract: "Let qemu-img, nbdcopy and nbdinfo reach a disk without a VM, through nbdkit.",
    discussion: """
        vfio-user nvme serve-nbd /tmp/disk.sock --listen /tmp/disk.nbd &
        qemu-img info 'nbd+unix:///?socket=/tmp/disk.nbd'
        nbdcopy --request-size=16777216 'nbd+unix:///?socket=/tmp/disk.nbd' copy.img

      Each request connects to the disk and goes again, so make requests large. Between them another client may have the \
      disk; what it does there is its own affair. What was written is flushed with each request.

      It becomes nbdkit (Debian's package nbdkit), whose exit code is its own; 1 if that cannot be executed or the disk \
      cannot be driven.
      """)

  @OptionGroup var target: NVMeTarget

  @Option(
    help: ArgumentHelp("The UNIX socket for NBD to create.", valueName: "path"), completion: .file()
  )
  var listen: String

  @Flag(help: "Refuse to write.")
  var readOnly = false

  func run() throws {
    let disk = try Disk(target, depth: 1, transfer: 4096)
    let (blockSize, size) = (disk.namespace.blockSize, disk.namespace.size)
    disk.close()
    guard let program = OwnProgram.present else {
      throw CommandError("the path of this program is not known: /proc is needed")
    }
    func call(_ verb: String) -> String {
      let words = [program, "nvme", verb, target.socket].map {
        "'\($0.replacing("'", with: #"'\''"#))'"
      }
      return words.joined(separator: " ") + " --namespace \(target.namespace)"
    }
    // The size is that of the start. Standard error of a request that fails is what nbdkit reports.
    let methods = [
      "get_size=echo \(size)",
      "block_size=echo \(blockSize) 65536 33554432",
      "thread_model=echo serialize_all_requests",
      "pread=\(call("read")) --offset $4 --count $3",
    ]
    let writing = [
      "can_write=exit 0", "can_flush=exit 0", "flush=exit 0",
      "pwrite=\(call("write")) --offset $4",
    ]
    try execute(
      ["nbdkit", "--foreground", "--unix", listen, "eval"] + methods + (readOnly ? [] : writing))
  }

  private func execute(_ arguments: [String]) throws {
    // Sound: the copies end with the program, and the list ends with a null pointer.
    var list: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
    _ = unsafe execvp(arguments[0], &list)
    throw CommandError(
      "nbdkit cannot be executed: \(Errno(rawValue: errno)). It is Debian's package nbdkit.")
  }
}
