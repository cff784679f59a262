import Foundation
import Glibc
import VFIOUserProgram

/// A device program with an option of its own, for VFIOUserProgramTests.
@main struct ProgramUnderTest: DeviceProgram {
  static let configuration = CommandConfiguration(
    abstract: "Serve one register.", version: "4.7.11")

  @Option(help: "What the register reads.")
  var value: UInt32 = 7

  @Flag(help: "Fail when the device is made.")
  var broken = false

  @Option(
    help: "A file with the path of a program, and what goes wrong there: crash, hang, throw, exit.")
  var trouble: String?

  @OptionGroup var intrusion: IntrusionOptions

  func validate() throws {
    guard value != 0 else { throw ValidationError("--value must not be 0.") }
  }

  func makeDevice() throws -> ServedDevice {
    if intrusion.intrude != nil { return intrusion.makeDevice() }
    var served = ServedDevice(OneRegister.pci) { _ in
      if broken { throw Errno.noSpace }
      try meetTrouble()
      return try OneRegister(value)
    } close: { _ in
      print("closed")
    } onHangup: {
      $0.registers[$0.value] += 1
    }
    served.notice = "the value is \(value)"
    return served
  }

  private func meetTrouble() throws {
    guard let trouble, let text = try? String(contentsOfFile: trouble, encoding: .utf8) else {
      return
    }
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    switch text.replacing("\(own) ", with: "") {
    case "crash": preconditionFailure("it was to crash")
    case "hang": while true { sleep(1) }
    case "throw": throw Errno.badAddress
    case "exit": Glibc.exit(3)
    default: break
    }
  }
}

/// A register of 32 bits that can only be read.
private final class OneRegister: SavableDevice {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0002,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)])

  let value: Register
  let registers: RegisterFile

  init(_ initial: UInt32) throws {
    value = Register("value", at: 0, .bits32, reset: UInt64(initial))
    registers = try RegisterFile(size: 4096, [value])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    try registers.write(at: access.offset, from: bytes)
  }

  func reset() {}
  func save() -> RegisterFile.Contents { registers.contents }
  func load(_ saved: RegisterFile.Contents) throws(StateError) { try registers.load(saved) }
}
