import TestSupport
import VFIOUserClient
import VFIOUserTransport

/// A client with a twin socket, whose server follows a script with both ends.
func clientWithTwin(
  _ options: ClientOptions = ClientOptions(),
  script: @escaping @Sendable (ScriptedServer, ScriptedServer) throws -> Void
) throws -> Client {
  let running = try RunningScript { server in
    let (mine, theirs) = try MessageSocket.pair()
    var list = DescriptorList()
    list.append(try theirs.descriptor.duplicate())
    try server.agree(
      #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#, descriptors: list)
    try serveTwin(server, mine, script)
  }
  return try Client(running.clientEnd, options: options)
}

private func serveTwin(
  _ server: ScriptedServer, _ socket: MessageSocket,
  _ script: @Sendable (ScriptedServer, ScriptedServer) throws -> Void
) throws {
  defer { socket.shutdown() }
  try script(server, ScriptedServer(socket))
}
