import CLinux
import Glibc
import GuardBench
import Testing

@unsafe
func load(_ which: Guard, _ at: UnsafeRawPointer, _ size: Int, _ value: inout UInt64) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_load(at, size, &value) : portable_load(at, size, &value)
}

@unsafe
func store(_ which: Guard, _ at: UnsafeMutableRawPointer, _ size: Int, _ value: UInt64) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_store(at, size, value) : portable_store(at, size, value)
}

@unsafe
private func exchange(
  _ which: Guard, _ at: UnsafeMutableRawPointer, _ size: Int, _ value: inout UInt64
) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_exchange(at, size, &value) : portable_exchange(at, size, &value)
}

@unsafe
private func compareExchange(
  _ which: Guard, _ at: UnsafeMutableRawPointer, _ size: Int, _ expected: inout UInt64,
  _ desired: UInt64
) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_compare_exchange(at, size, &expected, desired)
    : portable_compare_exchange(at, size, &expected, desired)
}

@unsafe
private func fetchOr(
  _ which: Guard, _ at: UnsafeMutableRawPointer, _ size: Int, _ bits: inout UInt64
) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_fetch_or(at, size, &bits) : portable_fetch_or(at, size, &bits)
}

@unsafe
private func copy(
  _ which: Guard, _ to: UnsafeMutableRawPointer, _ from: UnsafeRawPointer, _ count: Int
) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_copy(to, from, count) : portable_guarded_copy(to, from, count)
}

/// Stores, loads and changes a number; the bytes beside it stay as they are.
@unsafe
func checkNumbers(_ which: Guard, _ at: UnsafeMutableRawPointer, _ size: Int) throws {
  let mask: UInt64 = size == 8 ? .max : 1 << UInt64(8 * size) - 1
  let pattern = 0x8877_6655_4433_2211 & mask
  unsafe (at - 8).initializeMemory(as: UInt8.self, repeating: 0xEE, count: 24)
  var results = [unsafe store(which, at, size, pattern)]
  var seen: UInt64 = .max
  results.append(unsafe load(which, at, size, &seen))
  #expect(seen == pattern)
  var exchanged: UInt64 = 5
  results.append(unsafe exchange(which, at, size, &exchanged))
  #expect(exchanged == pattern)
  var wrong: UInt64 = 6
  results.append(unsafe compareExchange(which, at, size, &wrong, 9))
  #expect(wrong == 5)
  var right: UInt64 = 5
  results.append(unsafe compareExchange(which, at, size, &right, 9))
  #expect(right == 5)
  var bits: UInt64 = 0x42
  results.append(unsafe fetchOr(which, at, size, &bits))
  #expect(bits == 9)
  results.append(unsafe load(which, at, size, &seen))
  #expect(seen == 0x4B)
  #expect(results.allSatisfy { $0 == 0 })
  let beside = unsafe [
    at.load(fromByteOffset: -1, as: UInt8.self), (at + size).load(as: UInt8.self),
  ]
  #expect(beside == [0xEE, 0xEE])
}

/// Copies of every small size and some large ones, out and in.
@unsafe
func checkCopies(_ which: Guard, _ at: UnsafeMutableRawPointer) throws {
  for count in Array(0...40) + [511, 512, 4096, 0x8001] {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + count) }
    var back = [UInt8](repeating: 0, count: count + 1)
    let results = unsafe bytes.withUnsafeBytes { from in
      unsafe back.withUnsafeMutableBytes { to in
        let empty = unsafe at
        return unsafe [
          copy(which, at + 3, from.baseAddress ?? UnsafeRawPointer(empty), count),
          copy(which, to.baseAddress ?? empty, at + 3, count),
        ]
      }
    }
    #expect(results == [0, 0])
    #expect(back == bytes + [0])
  }
}

@unsafe
private func zero(_ which: Guard, _ to: UnsafeMutableRawPointer, _ count: Int) -> Int32 {
  unsafe which == .native ? clinux_guarded_zero(to, count) : portable_guarded_zero(to, count)
}

@unsafe
private func post(
  _ which: Guard, _ to: UnsafeMutableRawPointer, _ from: UnsafeRawPointer, _ entries: Int
) -> Int32 {
  unsafe which == .native
    ? clinux_guarded_post(to, from, entries) : portable_guarded_post(to, from, entries)
}

/// Zeros and entries of every small number; the bytes beside them stay as they are.
@unsafe
func checkBlocks(_ which: Guard, _ at: UnsafeMutableRawPointer) throws {
  for count in Array(0...20) + [1000] {
    let size = 16 * count
    unsafe at.initializeMemory(as: UInt8.self, repeating: 0xEE, count: size + 32)
    let entries = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 5 + 1) }
    let posted = unsafe entries.withUnsafeBytes { from in
      unsafe post(which, at + 16, from.baseAddress ?? UnsafeRawPointer(at), count)
    }
    let seen = unsafe Array(UnsafeRawBufferPointer(start: at, count: size + 32))
    let around = [UInt8](repeating: 0xEE, count: 16)
    #expect(posted == 0 && seen == around + entries + around)
    let zeroed = unsafe zero(which, at + 17, size)
    let after = unsafe Array(UnsafeRawBufferPointer(start: at, count: size + 32))
    let expected =
      around + entries.prefix(1) + [UInt8](repeating: 0, count: size) + around.dropLast()
    #expect(zeroed == 0 && (count == 0 || after == expected))
  }
}

/// Every access behind the end of a file of 4096 bytes.
@unsafe
func checkFaults(_ which: Guard, _ start: UnsafeMutableRawPointer) {
  let gone = unsafe start + 0x8000
  var value: UInt64 = 0
  var results: [Int32] = []
  for size in [1, 2, 4, 8] {
    unsafe results.append(load(which, gone, size, &value))
    unsafe results.append(store(which, gone, size, 1))
    unsafe results.append(exchange(which, gone, size, &value))
    unsafe results.append(compareExchange(which, gone, size, &value, 1))
    unsafe results.append(fetchOr(which, gone, size, &value))
  }
  var buffer = [UInt8](repeating: 0, count: 64)
  unsafe buffer.withUnsafeMutableBytes { bytes in
    guard let base = bytes.baseAddress else { return }
    // Across the end, where the first half is there.
    unsafe results.append(copy(which, base, start + 0x1000 - 32, 64))
    unsafe results.append(copy(which, start + 0x1000 - 32, base, 64))
    unsafe results.append(copy(which, base, gone, 64))
    unsafe results.append(zero(which, start + 0x1000 - 32, 64))
    unsafe results.append(post(which, start + 0x1000 - 32, base, 4))
  }
  #expect(results.allSatisfy { $0 == -EFAULT }, "\(results)")
}
