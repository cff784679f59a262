import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `A misbehaving server` {
  static let all =
    framing + headers + payloads + chains + extras + signals + features + withDescriptors
    + with253Descriptors + tooShort + tooLong + regions + requests + posts

  @Test func `The table has two hundred distinct misbehaviours of a server`() {
    #expect(Set(Self.all.map(\.testDescription)).count >= 200)
    #expect(Set(Self.all.map(\.testDescription)).count == Self.all.count)
  }

  @Test(arguments: all)
  func `A misbehaving server causes no more than an error for the caller`(
    _ misbehaviour: ServerMisbehaviour
  ) throws {
    let client = try meet(misbehaviour)
    let error = failure { () throws(ClientError) in try misbehaviour.operate(client) }
    #expect(misbehaviour.matches(error), "\(String(describing: error))")
    switch misbehaviour.aftermath {
    case .inStep:
      #expect(try client.load(.bar2, at: 300) == expected(at: 300, as: UInt64.self))
      #expect(client.failure == nil)
    case .lost(let reason):
      #expect(throws: ClientError.disconnected(reason)) { try client.reset() }
      #expect(client.failure == reason)
    }
  }

  @Test func `A misbehaving server leaves no descriptor behind in the client`() async {
    await #expect(processExitsWith: .success) { try checkThatNoDescriptorStays() }
  }
}

/// A client of a server that misbehaves once and is good afterwards.
private func meet(_ misbehaviour: ServerMisbehaviour) throws -> Client {
  var options = options(timeout: .seconds(30))
  options.messageTimeout = .milliseconds(300)
  return try client(options) { server in
    try misbehaviour.deed(server, server.receive())
    if misbehaviour.aftermath == .inStep { try server.serve() }
    _ = try server.receive()
  }
}

private func checkThatNoDescriptorStays() throws {
  // Whatever a process opens once and keeps is open by then.
  try misbehaveAll()
  let before = settledDescriptors()
  // Proves that a descriptor that stays is seen.
  let extra = taggedDescriptor(1)
  try #require(openDescriptors() == before + 1)
  _ = consume extra
  for _ in 0..<2 { try misbehaveAll() }
  _ = eventually { openDescriptors() == before }
  #expect(openDescriptors() == before)
}

private func misbehaveAll() throws {
  for misbehaviour in `A misbehaving server`.all {
    let client = try meet(misbehaviour)
    _ = failure { () throws(ClientError) in try misbehaviour.operate(client) }
    _ = failure { () throws(ClientError) in try client.reset() }
  }
}
