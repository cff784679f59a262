import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite struct `Finding messages in a stream` {
  private let first = message(.regionRead, id: 1, [UInt8](repeating: 1, count: 16))
  private let second = message(.deviceReset, id: 2)

  @Test func `Messages are found in pieces of any size`() {
    let stream = first + second + first
    for size in 1...stream.count {
      var splitter = FrameSplitter()
      var found: [[UInt8]] = []
      for start in stride(from: 0, to: stream.count, by: size) {
        let piece = Array(stream[start..<min(stream.count, start + size)])
        found += splitter.take(piece, []).map(\.bytes)
      }
      #expect(found == [first, second, first], "pieces of \(size)")
      #expect(splitter.finish() == nil)
    }
  }

  @Test func `Descriptors are those of the message that has their byte`() {
    var splitter = FrameSplitter()
    let note = DescriptorNote(kind: "eventfd")
    #expect(splitter.take(Array(first[..<20]), [note]).isEmpty)
    let parts = splitter.take(Array(first[20...]) + second, [])
    #expect(parts.map(\.descriptors) == [[note], []])
  }

  @Test(arguments: [UInt32(0), 15, UInt32(FrameSplitter.largestMessage) + 1, .max])
  func `A stream with an impossible size is out of step for good`(size: UInt32) {
    var splitter = FrameSplitter()
    let parts = splitter.take(second + message(.deviceReset, size: size), [])
    #expect(parts.map(\.defect) == [nil, .outOfStep])
    #expect(splitter.take(second, []).map(\.defect) == [.outOfStep])
  }

  @Test(arguments: [UInt32(16), UInt32(FrameSplitter.largestMessage)])
  func `The smallest and the largest message are waited for`(size: UInt32) {
    var splitter = FrameSplitter()
    let parts = splitter.take(message(.deviceReset, size: size), [])
    #expect(parts.map(\.defect) == (size == 16 ? [nil] : []))
  }

  @Test func `What is left at the end is no message`() {
    var splitter = FrameSplitter()
    #expect(splitter.take(Array(first[..<17]), []).isEmpty)
    #expect(
      splitter.finish()
        == FrameSplitter.Part(bytes: Array(first[..<17]), descriptors: [], defect: .cut))
    #expect(splitter.finish() == nil)
  }
}
