import Testing
import VFIOUserProtocol

@Suite struct `A malformed VERSION` {
  /// What was wrong with the text, as the error tells it.
  private func complaint(about bytes: [UInt8]) -> String? {
    do throws(WireError) {
      _ = try decoded(bytes, as: VersionMessage.self)
    } catch {
      guard case .malformedVersionData(let text) = error else { return "\(error)" }
      return text
    }
    return nil
  }

  @Test(
    arguments: [
      (" ", "not valid JSON"),
      ("{", "not valid JSON"),
      ("}", "not valid JSON"),
      ("{]", "not valid JSON"),
      (#"{"capabilities":}"#, "not valid JSON"),
      (#"{,}"#, "not valid JSON"),
      (#"{"capabilities":{},,"a":1}"#, "not valid JSON"),
      (#"{"capabilities":{},}"#, "not valid JSON"),
      (#"{"capabilities":{"max_msg_fds":8, }}"#, "not valid JSON"),
      ("{\"other\":[1,\t\r\n]}", "not valid JSON"),
      (#"{"capabilities" {}}"#, "not valid JSON"),
      (#"{capabilities:{}}"#, "not valid JSON"),
      (#"{"capabilities":{}} x"#, "not valid JSON"),
      (#"{'capabilities':{}}"#, "not valid JSON"),
      (#"{"capabilities":{"max_msg_fds":0x10}}"#, "not valid JSON"),
      (#"{"capabilities":{"max_msg_fds":NaN}}"#, "not valid JSON"),
      ("null", "the text must be an object, is null"),
      ("7", "the text must be an object, is 7"),
      (#""capabilities""#, #"the text must be an object, is the text "capabilities""#),
      ("[]", "the text must be an object, is a list"),
      (#"{"capabilities":null}"#, "capabilities must be an object, is null"),
      (#"{"capabilities":[]}"#, "capabilities must be an object, is a list"),
      (#"{"capabilities":true}"#, "capabilities must be an object, is true"),
      (#"{"capabilities":1.5}"#, "capabilities must be an object, is 1.5"),
    ] as [(String, String)])
  func `A VERSION text that is not a JSON object with an object of capabilities is refused`(
    text: String, message: String
  ) {
    #expect(complaint(about: version(text)) == message)
  }

  @Test(
    arguments: [
      (#""max_msg_fds":0"#, "max_msg_fds must be a whole number from 1 to 4294967295, is 0"),
      (#""max_msg_fds":-1"#, "max_msg_fds must be a whole number from 1 to 4294967295, is -1"),
      (#""max_msg_fds":1.5"#, "max_msg_fds must be a whole number from 1 to 4294967295, is 1.5"),
      (#""max_msg_fds":4294967296"#, "is 4294967296"),
      (#""max_msg_fds":1e400"#, "is a value that cannot be represented"),
      (#""max_msg_fds":null"#, "max_msg_fds must be a whole number from 1 to 4294967295, is null"),
      (#""max_msg_fds":"8""#, #"is the text "8""#),
      (#""max_msg_fds":"\uD800""#, "is a value that cannot be represented"),
      (#""max_msg_fds":true"#, "max_msg_fds must be a whole number from 1 to 4294967295, is true"),
      (#""max_msg_fds":[8]"#, "is a list"),
      (#""max_msg_fds":{"n":8}"#, "is an object"),
      (#""max_data_xfer_size":0"#, "max_data_xfer_size must be a whole number from 1 to"),
      (#""max_data_xfer_size":-4096"#, "is -4096"),
      (#""max_dma_maps":0"#, "max_dma_maps must be a whole number from 1"),
      (#""max_dma_maps":18446744073709551616"#, "max_dma_maps must be a whole number"),
      (#""pgsizes":0"#, "pgsizes must be a whole number from 1"),
      (#""pgsizes":2048"#, "pgsizes has sizes below 4096, is 2048"),
      (#""pgsizes":6144"#, "pgsizes has sizes below 4096, is 6144"),
      (#""pgsizes":"4096""#, "pgsizes must be a whole number"),
      (#""write_multiple":1"#, "write_multiple must be true or false, is 1"),
      (#""write_multiple":"yes""#, #"write_multiple must be true or false, is the text "yes""#),
      (#""twin_socket":true"#, "twin_socket must be an object, is true"),
      (#""twin_socket":{"supported":1}"#, "twin_socket.supported must be true or false, is 1"),
      (#""twin_socket":{"fd_index":-1}"#, "twin_socket.fd_index must be a whole number from 0"),
      (#""twin_socket":{"fd_index":0.5}"#, "twin_socket.fd_index must be a whole number from 0"),
      (#""migration":4096"#, "migration must be an object, is 4096"),
      (#""migration":{"pgsize":0}"#, "migration.pgsize must be a whole number from 1"),
      (#""migration":{"pgsize":4097}"#, "migration.pgsize must be a power of two, is 4097"),
      (#""migration":{"max_bitmap_size":0}"#, "migration.max_bitmap_size must be a whole number"),
    ] as [(String, String)])
  func `The error for an invalid VERSION capability names the field and its value`(
    field: String, fragment: String
  ) throws {
    let text = try #require(complaint(about: version(#"{"capabilities":{\#(field)}}"#)))
    #expect(text.contains(fragment), "\(text)")
  }

  @Test func `A VERSION text that does not end in a NUL byte is refused`() {
    #expect(
      complaint(about: hex("0000 0100") + Array("{}".utf8))
        == "the text does not end in a NUL byte")
  }

  @Test(arguments: [hex("0000 0100 0000"), version("{}\0"), version("{\0}"), version("\0{}")])
  func `A VERSION text with a second NUL byte is refused`(bytes: [UInt8]) {
    #expect(complaint(about: bytes)?.hasPrefix("NUL byte inside the text, at ") == true)
  }

  @Test(arguments: [[0xFF], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xF0, 0x9F]] as [[UInt8]])
  func `A VERSION text that is not UTF-8 is refused`(bytes: [UInt8]) {
    let text = Array(#"{"a":""#.utf8) + bytes + Array(#""}"#.utf8)
    #expect(complaint(about: hex("0000 0100") + text + [0]) == "not UTF-8")
  }

  /// An object with a text so long that all of it has this many bytes.
  private func text(ofBytes count: Int) -> String {
    #"{"a":""# + String(repeating: "x", count: count - 8) + #""}"#
  }

  @Test func `A VERSION text may have 4096 bytes and no more`() {
    #expect(complaint(about: version(text(ofBytes: 4096))) == nil)
    #expect(complaint(about: version(text(ofBytes: 4097)))?.hasPrefix("JSON of") == true)
    #expect(complaint(about: version(text(ofBytes: 1 << 20)))?.hasPrefix("JSON of") == true)
  }

  private func nested(_ depth: Int, open: String, close: String) -> String {
    #"{"a":"# + String(repeating: open, count: depth - 1) + "1"
      + String(repeating: close, count: depth - 1) + "}"
  }

  @Test(arguments: [("[", "]"), (#"{"b":"#, "}")] as [(String, String)])
  func `A VERSION text may be nested eight levels deep and no more`(open: String, close: String) {
    let tooDeep = "nested deeper than 8 levels"
    #expect(complaint(about: version(nested(8, open: open, close: close))) == nil)
    #expect(complaint(about: version(nested(9, open: open, close: close))) == tooDeep)
    #expect(complaint(about: version(nested(600, open: open, close: close))) == tooDeep)
  }

  @Test(arguments: [
    #"{"a":"[[[[[[[[[[[["}"#, #"{"a":"\"[[[[[[[[[[[["}"#, #"{"a":"\\","b":"{{{{{{{{{{"}"#,
    #"{"a":[],"b":[],"c":[],"d":[],"e":[],"f":[],"g":[],"h":[],"i":[]}"#,
  ])
  func `The nesting depth of a VERSION text counts only open brackets outside of strings`(
    text: String
  ) {
    #expect(complaint(about: version(text)) == nil)
  }

  @Test(arguments: [#"{"a":",}"}"#, #"{"a":"\",]","b":[1,2]}"#, #"{"a":[1 , 2] , "b":{} }"#])
  func `A VERSION text is refused for trailing commas outside of strings only`(text: String) {
    #expect(complaint(about: version(text)) == nil)
  }

  @Test func `A VERSION text with more closing than opening brackets is refused`() {
    #expect(complaint(about: version("}}}}[[[[")) == "not valid JSON")
  }
}
