import CFuzzer
import FuzzHarness

// Fuzzing: payloads, into every decoder. See CONTRIBUTING.md.

/// What libFuzzer calls with each input; the archive's unused main wants it under this name.
@c(LLVMFuzzerTestOneInput)
public func fuzzProtocol(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  // Sound: libFuzzer lends `size` bytes for the length of the call.
  unsafe UnsafeBufferPointer(start: data, count: size).withSpan { bytes in
    ProtocolInput.run(bytes)
  }
  return 0
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate func withSpan(_ body: (Span<UInt8>) -> Void) {
    unsafe body(Span(_unsafeElements: self))
  }
}

@main
struct FuzzProtocol {
  nonisolated static func main() {
    var count = CommandLine.argc
    var arguments =
      unsafe CommandLine.unsafeArgv as UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    unsafe LLVMFuzzerRunDriver(&count, &arguments, fuzzProtocol)
  }
}
