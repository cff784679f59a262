import Foundation
import NVMeDriver
import SystemPackage
import TestSupport
import Testing

@testable import vfio_user

/// A disk moves between `vfio-user serve nvme` and `vfio-user serve nvme --incoming`.
@Suite(.timeLimit(.minutes(10))) struct `A disk that moves between processes` {
  /// RESUMING, the flags, STOP_COPY, two times a read and a write, and RUNNING, each with its reply.
  private static let messages = 16
  /// From here on the client has the whole state: the reply to the read that brings nothing more.
  private static let stateIsRead = 11

  @Test(arguments: NVMeMoveOptions.Memory.allCases)
  func `A driver goes on at the target with its queues and its data`(
    memory: NVMeMoveOptions.Memory
  ) throws {
    let pair = try MovePair()
    try pair.writeAll()
    #expect(pair.move(memory))
    if memory == .shared { #expect(pair.messages == Self.messages) }
    #expect(try pair.isIntact())
    try pair.writeAll()
    #expect(pair.refusal() == .resourceTemporarilyUnavailable)
    #expect(try pair.isIntact())
    #expect(try pair.isIntactAfterRestart())
  }

  @Test(arguments: 0..<messages)
  func `A source goes on when the target is killed before it runs`(message: Int) throws {
    let pair = try MovePair()
    try pair.writeAll()
    let hasMoved = pair.move(killing: .target, at: message)
    if message < Self.messages - 2 {
      #expect(!hasMoved && pair.refusal() == nil)
      try pair.writeAll()
      #expect(try pair.isIntact())
    } else if !hasMoved {
      // The target may have had the disk, or not have seen the message.
      #expect([nil, .staleNFSFileHandle].contains(pair.refusal()))
    }
    #expect(try pair.isIntactAfterRestart())
  }

  @Test(arguments: 0..<messages)
  func `A target goes on when the source is killed after its state was read`(message: Int) throws {
    let pair = try MovePair()
    try pair.writeAll()
    let hasMoved = pair.move(killing: .source, at: message)
    if message >= Self.stateIsRead { #expect(hasMoved) }
    if hasMoved {
      try pair.writeAll()
      #expect(try pair.isIntact())
    }
    #expect(try pair.isIntactAfterRestart())
  }

  @Test(arguments: NVMeMoveOptions.Memory.allCases)
  func `A full completion queue and requests for events arrive at the target`(
    memory: NVMeMoveOptions.Memory
  ) throws {
    let pair = try MovePair(entries: 4)
    try pair.controller.requestEvent()
    for _ in 0..<3 { _ = try pair.queue.submit(.flush(1)) }
    try pair.queue.ring()
    #expect(pair.move(memory))
    var ended = 0
    while ended < 3 {
      let count = try pair.queue.wait(for: .seconds(10)) { answer in
        #expect(answer.status.isSuccess)
      }
      try #require(count > 0)
      ended += count
    }
    #expect(pair.queue.strays == 0)
    // A doorbell of a queue that there is not.
    let doorbell = RegisterOffset.submissionTail(3, stride: 0)
    try pair.controller.client.store(UInt32(1), .bar0, at: doorbell)
    #expect(try pair.controller.nextEvent(within: .seconds(10)) != nil)
  }

  @Test func `Processes whose program is replaced before and after the move keep who has the disk`()
    throws
  {
    let pair = try MovePair()
    try pair.writeAll()
    for side in MovePair.Side.allCases { try pair.upgrade(side) }
    #expect(pair.move())
    #expect(try pair.isIntact())
    try pair.upgrade(.target)
    try pair.writeAll()
    #expect(pair.refusal() == .resourceTemporarilyUnavailable)
    #expect(try pair.isIntact())
    #expect(try pair.isIntactAfterRestart())
  }

  @Test func `A second process is refused the file, and told of --incoming`() throws {
    let disk = try NVMeDisk(megabytes: 1)
    let run = try ProgramRun(["serve", "nvme", "--file", disk.file, "--socket", disk.file + ".s"])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("--incoming"), "\(run.errors)")
  }

  /// `VFIO_USER_MOVES=100` moves more often.
  @Test func `A driver at full depth finds every block as written after each of many moves`() throws
  {
    let moves = ProcessInfo.processInfo.environment["VFIO_USER_MOVES"].flatMap(Int.init) ?? 4
    let run = try ProgramRun(
      ["demo", "migration", "--moves", "\(moves)", "--seconds", "0.1", "--json"],
      within: .seconds(60 + 2 * moves))
    #expect(run.exitCode == 0, "\(run.errors)")
    let figures: MigrationFigures = try run.decoded()
    #expect(figures.moves.count == moves)
    #expect(figures.moves.allSatisfy { $0.downtime > 0 && $0.underWay == 32 })
    let copied = figures.moves.filter { $0.memory == .copied }
    #expect(copied.count == moves / 2)
    #expect(copied.allSatisfy { $0.memoryRounds > 1 && $0.memoryBytesWhileStopped > 0 })
    #expect((figures.work.badBlocks, figures.work.strays) == (0, 0))
    #expect(figures.work.reads > 0)
    print("moves:", figures.text)
  }

  @Test func `The migration demo says what each move took`() throws {
    let run = try ProgramRun(["demo", "migration", "--seconds", "0.01"])
    #expect(run.exitCode == 0, "\(run.errors)")
    for part in ["memory is shared", "while stopped", "down time", "all as written"] {
      #expect(run.text.contains(part), "\(run.text)")
    }
    let wrong = try ProgramRun(["demo", "migration", "--moves", "0"])
    #expect(wrong.exitCode == 64)
    #expect(wrong.errors.contains("--moves takes a number from 1 to 10000"), "\(wrong.errors)")
  }
}
