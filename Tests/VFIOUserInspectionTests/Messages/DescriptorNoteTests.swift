import CLinux
import LinuxPrimitives
import Testing

@testable import VFIOUserInspection

@Suite struct `What a descriptor is` {
  @Test func `A memory file is shown with its name, size and identity`() throws {
    let number = unsafe clinux_memory_file("guest ram", 8192)
    let file = OwnedDescriptor(adopting: number)
    let note = DescriptorNote(of: file.number)
    #expect(note.kind == "memfd" && note.name == "guest ram" && note.size == 8192)
    let copy = try file.duplicate()
    #expect(DescriptorNote(of: copy.number) == note && note.inode != nil)
  }

  @Test func `Eventfds, sockets and files are told apart`() throws {
    let counter = try EventFD()
    #expect(counter.withDescriptor { DescriptorNote(of: $0) } == DescriptorNote(kind: "eventfd"))
    var ends: [Int32] = [-1, -1]
    #expect(unsafe clinux_socket_pair(&ends) == 0)
    let one = OwnedDescriptor(adopting: ends[0])
    let other = OwnedDescriptor(adopting: ends[1])
    #expect(DescriptorNote(of: one.number).kind == "socket")
    #expect(DescriptorNote(of: other.number).kind == "socket")
    #expect(DescriptorNote(link: "/dev/null") == DescriptorNote(kind: "file", name: "/dev/null"))
    #expect(DescriptorNote(link: "pipe:[12]").kind == "pipe")
    #expect(DescriptorNote(link: "anon_inode:[io_uring]").kind == "io_uring")
  }

  @Test func `A number that is not open is unknown`() {
    #expect(DescriptorNote(of: 1_000_000) == DescriptorNote(kind: "unknown"))
  }

  @Test(arguments: [
    DescriptorNote(kind: "eventfd"), DescriptorNote(kind: "memfd", size: 0, inode: .max, name: ""),
    DescriptorNote(kind: "file", name: "/a b/size=4 name=c"),
  ])
  func `A description is read as it was written`(note: DescriptorNote) {
    #expect(DescriptorNote(text: note.description) == note)
  }
}
