import CLinux
import Glibc
import LinuxPrimitives
import TestSupport
import Testing

@testable import VFIOUserProgram

@Suite(.timeLimit(.minutes(1))) struct `A connection to a control socket` {
  @Test func `A socket that lingers in its queue does not hold up its end`() throws {
    var ends: [Int32] = [-1, -1]
    // Sound: the array has two elements.
    #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    let peer = OwnedDescriptor(adopting: ends[0])
    let lingering = LingeringSocket()
    var byte: UInt8 = 1
    // Sound: the slice is that of one byte, and the count that of one descriptor.
    unsafe withUnsafeMutablePointer(to: &byte) { byte in
      let lingering = lingering.take()
      var slice = unsafe clinux_slice(base: byte, length: 1)
      #expect(unsafe clinux_send(peer.number, &slice, 1, [lingering.number], 1, 0) == 1)
    }
    let elapsed = ContinuousClock().measure {
      _ = ControlConnection(OwnedDescriptor(adopting: ends[1]))
    }
    #expect(elapsed < .seconds(5))
    lingering.end()
  }
}
