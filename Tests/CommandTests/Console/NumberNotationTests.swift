import ArgumentParser
import Testing
import VFIOUserProtocol

@testable import vfio_user

@Suite struct `A number on the command line` {
  @Test(
    arguments: [
      ("0", 0), ("255", 255), ("0xff", 255), ("0XFF", 255), ("0b101", 5), ("4K", 4096),
      ("1_000", 1000),
      ("18446744073709551615", UInt64.max), ("0xffffffffffffffff", UInt64.max),
    ] as [(String, UInt64)])
  func `A number is read in the notations of programmers`(text: String, value: UInt64) throws {
    #expect(try Number.parse(text) == value)
  }

  @Test(arguments: [
    "", "-1", "+1", "x", "0x", "0xg", "0x-1", "0x+1", "0b2", "1.5", " 1", "18446744073709551616",
    "0x10000000000000000", "ff",
  ])
  func `What is no number is refused`(text: String) {
    #expect(throws: ValidationError.self) { try Number.parse(text) }
  }

  @Test(arguments: ["-1", "x", "86401", "nan", "inf"])
  func `A time is a number of seconds up to a day`(text: String) {
    #expect(throws: ValidationError.self) { try Number.seconds(text) }
  }
}

@Suite struct `A region on the command line` {
  @Test(
    arguments: [
      ("bar0", 0), ("BAR5", 5), ("rom", 6), ("config", 7), ("vga", 8), ("9", 9),
      ("4294967295", UInt32.max),
    ] as [(String, UInt32)])
  func `A region is named, or numbered`(text: String, index: UInt32) throws {
    #expect(try RegionName(text: text).index.rawValue == index)
  }

  @Test(arguments: ["", "bar", "bar6", "bar+1", "bar00", "-1", "4294967296", "configuration"])
  func `What is no region is refused`(text: String) {
    #expect(throws: ValidationError.self) { try RegionName(text: text) }
  }
}

@Suite struct `A write as an option` {
  @Test func `A write has a region, an offset, a value and a width`() throws {
    let order = try WriteOrder(text: "bar0:0x40=0x12/2")
    #expect(order.region.index.rawValue == 0)
    #expect((order.offset, order.value, order.width) == (0x40, 0x12, .two))
    #expect(try WriteOrder(text: "config:4=6").width == .four)
    #expect(try WriteOrder(text: "bar0:0=0xff/1").value == 0xFF)
  }

  @Test(arguments: [
    "", "bar0", "bar0:0", "bar0=1", "bar0:=1", "bar0:0=", "bar0:0=1/3", "bar0:0=0x100/1",
    "bar0:0=1=2",
    "bar0:0:0=1", "bar0:0=1/",
  ])
  func `What is no write is refused`(text: String) {
    #expect(throws: ValidationError.self) { try WriteOrder(text: text) }
  }
}

@Suite struct `Vectors on the command line` {
  @Test(
    arguments: [
      ("0", [0]), ("0-3", [0, 1, 2, 3]), ("5,1-2,2", [1, 2, 5]), ("2047", [2047]),
    ] as [(String, [Int])])
  func `Vectors are numbers and ranges`(text: String, numbers: [Int]) throws {
    #expect(try VectorSet(text: text).numbers == numbers)
  }

  @Test(arguments: ["", "-1", "3-1", "2048", "0-2048", "1,", "a", "1-2-3"])
  func `What is no list of vectors is refused`(text: String) {
    #expect(throws: ValidationError.self) { try VectorSet(text: text) }
  }
}
