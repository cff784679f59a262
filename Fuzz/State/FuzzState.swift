import CFuzzer
import FuzzHarness

// Fuzzing: states, into the devices that load them. See CONTRIBUTING.md.

// Made before the first input; libFuzzer calls from one thread.
nonisolated(unsafe) private let input = try? StateInput()

/// What libFuzzer calls with each input; the archive's unused main wants it under this name.
@c(LLVMFuzzerTestOneInput)
public func fuzzState(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  // Sound: libFuzzer lends `size` bytes for the length of the call.
  unsafe UnsafeBufferPointer(start: data, count: size).withSpan { bytes in
    guard let input = unsafe input else { return }
    try? input.run(bytes.indices.map { bytes[$0] })
  }
  return 0
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate func withSpan(_ body: (Span<UInt8>) -> Void) {
    unsafe body(Span(_unsafeElements: self))
  }
}

@main
struct FuzzState {
  nonisolated static func main() {
    var count = CommandLine.argc
    var arguments =
      unsafe CommandLine.unsafeArgv as UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    unsafe LLVMFuzzerRunDriver(&count, &arguments, fuzzState)
  }
}
