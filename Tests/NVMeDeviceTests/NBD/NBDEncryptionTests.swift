import Foundation
import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

@Suite(
  .timeLimit(.minutes(1)),
  .enabled(
    if: NBDServer.isPossible && NBDServer.has("certtool", "psktool"),
    "\(NBDServer.remedy) gnutls-bin"))
struct `A disk on an encrypted NBD export` {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func run(_ program: String, _ arguments: [String]) throws {
    let run = try ProgramRun(URL(filePath: "/usr/bin/\(program)"), arguments)
    try #require(run.exitCode == 0, "\(run.errors)")
  }

  private func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(filePath: folder.path(name)))
  }

  /// An authority, and a certificate of it for a host.
  private func makeCertificates(for host: String) throws {
    try write("ca.info", "cn = Authority\nca\ncert_signing_key\n")
    try write(
      "server.info",
      "cn = \(host)\ndns_name = \(host)\ntls_www_server\nencryption_key\nsigning_key\n")
    for name in ["ca", "server"] {
      try run(
        "certtool",
        ["--generate-privkey", "--key-type", "ecdsa", "--outfile", folder.path("\(name)-key.pem")])
    }
    try run(
      "certtool",
      [
        "--generate-self-signed", "--load-privkey", folder.path("ca-key.pem"), "--template",
        folder.path("ca.info"), "--outfile", folder.path("ca-cert.pem"),
      ])
    try run(
      "certtool",
      [
        "--generate-certificate", "--load-ca-certificate", folder.path("ca-cert.pem"),
        "--load-ca-privkey", folder.path("ca-key.pem"), "--load-privkey",
        folder.path("server-key.pem"), "--template", folder.path("server.info"), "--outfile",
        folder.path("server-cert.pem"),
      ])
  }

  private func check(_ disk: NBDHost, _ server: NBDServer) throws {
    #expect(try disk.write(0, seed: 1) == .success)
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(try disk.holds(0, seed: 1) == true)
    server.kill()
    try server.start()
    #expect(try disk.run(.io(.read)) == .success)
    #expect(disk.export.counters.reconnects == 1)
  }

  @Test func `A shared key is used, and another one is refused`() throws {
    try run("psktool", ["-u", "alice", "-p", folder.path("keys")])
    let server = try NBDServer.nbdkit(
      ["memory", "16M"], options: ["--tls=require", "--tls-psk=\(folder.path("keys"))"], in: folder)
    let address = try server.address(
      "", "&tls-psk-file=\(folder.path("keys"))", scheme: "nbds+unix", user: "alice@")
    try check(NBDHost(address), server)
    try run("psktool", ["-u", "alice", "-p", folder.path("others")])
    let wrong = try server.address(
      "", "&tls-psk-file=\(folder.path("others"))", scheme: "nbds+unix", user: "alice@")
    #expect(throws: NBDError.self) { _ = try NBDExport(wrong) }
    #expect(throws: NBDError.self) { _ = try NBDExport(server.address()) }
  }

  @Test func `The certificate has to be the host's`() throws {
    try makeCertificates(for: "localhost")
    let port = UInt16.random(in: 20_000...30_000)
    let server = try NBDServer.nbdkit(
      ["memory", "16M"],
      options: ["--tls=require", "--tls-certificates=\(folder.url.path)"], in: folder, port: port)
    let parameters = "?tls-certificates=\(folder.url.path)"
    try check(NBDHost(NBDAddress(parsing: "nbds://localhost:\(port)/\(parameters)")), server)
    #expect(throws: NBDError.self) {
      _ = try NBDExport(NBDAddress(parsing: "nbds://127.0.0.1:\(port)/\(parameters)"))
    }
    _ = try NBDExport(
      NBDAddress(parsing: "nbds://127.0.0.1:\(port)/\(parameters)&tls-verify-peer=false"))
  }
}
