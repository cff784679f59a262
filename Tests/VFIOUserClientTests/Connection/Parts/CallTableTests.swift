import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

extension CallTable {
  fileprivate mutating func started(_ command: Command) throws -> CallHandle {
    let call = begin(command, .waiting)
    return try #require(call)
  }
}

@Suite struct `The table of calls` {
  @Test func `The table finds a call by its id until it is answered`() throws {
    var table = CallTable()
    let call = try table.started(.deviceReset)
    #expect(call.id != CallTable.posted && call.command == .deviceReset && !call.isDone)
    guard case .call(let found) = table.match(call.id) else {
      Issue.record("the call is not found")
      return
    }
    #expect(found == call && table.inFlight == 1)
    table.answered(call)
    guard case .unknown = table.match(call.id) else {
      Issue.record("the id still leads to the call")
      return
    }
    #expect(table.inFlight == 0)
  }

  @Test func `The table keeps the id of a call that is given up until its late reply`() throws {
    var table = CallTable()
    let call = try table.started(.dmaMap)
    let id = call.id
    table.abandon(call)
    #expect(table.inFlight == 0 && table.abandonedCount == 1)
    guard case .late = table.match(id), case .unknown = table.match(id) else {
      Issue.record("the reply is not late, or late twice")
      return
    }
    #expect(table.abandonedCount == 0)
  }

  @Test func `The table has 65,535 ids, and none for one more`() throws {
    var table = CallTable()
    var ids = Set<UInt16>()
    for _ in 0..<CallTable.most { ids.insert(try table.started(.dmaMap).id) }
    #expect(ids.count == CallTable.most && !ids.contains(CallTable.posted))
    let isFull = table.begin(.dmaMap, .waiting) == nil
    #expect(isFull)
    // Who waits at a fence needs a place and no id.
    let waiter = table.beginWithoutID()
    table.release(waiter)
    let first = table[0]
    table.answered(first)
    table.release(first)
    let next = try table.started(.dmaMap)
    #expect(next == first)
  }

  @Test func `The table uses the place of a call again, with nothing left of it`() throws {
    var table = CallTable()
    let call = try table.started(.dmaMap)
    call.descriptorLimit = 3
    call.timeOut()
    table.answered(call)
    table.release(call)
    let next = try table.started(.deviceReset)
    #expect(next == call && next.descriptorLimit == 0 && !next.hasFailed)
  }
}

@Suite struct `The role of the reader` {
  private func sleepers(_ count: Int, _ table: inout CallTable) -> [CallHandle] {
    (0..<count).map { _ in table.beginWithoutID() }
  }

  @Test func `The role of the reader is taken by one thread at a time`() {
    var role = ReaderRole()
    let (first, second) = (role.take(), role.take())
    #expect(first && !second)
    role.drop()
    let third = role.take()
    #expect(third)
  }

  @Test func `The role of the reader passes to the thread that has slept longest`() {
    var role = ReaderRole()
    var table = CallTable()
    let calls = sleepers(3, &table)
    _ = role.take()
    for call in calls { role.sleep(call) }
    for call in calls {
      let isPassed = role.passOn()
      #expect(isPassed && call.signal == .promoted)
    }
    let isPassed = role.passOn()
    #expect(!isPassed && role.firstAsleep == nil && role.isTaken)
  }

  @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
  func `The role of the reader forgets sleeping threads in any order`(_ order: [Int]) {
    var role = ReaderRole()
    var table = CallTable()
    let calls = sleepers(3, &table)
    for call in calls { role.sleep(call) }
    role.complete(calls[order[0]])
    role.giveUp(calls[order[1]])
    #expect(calls[order[0]].isDone)
    #expect(calls[order[1]].hasFailed && calls[order[1]].signal == .awake)
    #expect(role.firstAsleep == calls[order[2]])
    let isPassed = role.passOn()
    #expect(isPassed && calls[order[2]].signal == .promoted)
    #expect(role.firstAsleep == nil)
  }

  @Test func `The role of the reader tells of a message that nobody reads to its end`() {
    var role = ReaderRole()
    let due = Deadline(instant: 7)
    let (isNew, isNewAgain) = (role.note(messageDue: due), role.note(messageDue: due))
    #expect(isNew && !isNewAgain)
    #expect(role.neglectedMessage == due)
    _ = role.take()
    #expect(role.neglectedMessage == .never)
    let isOver = role.note(messageDue: .never)
    #expect(!isOver)
  }
}

@Suite struct `The background reader` {
  @Test func `The background reader has registered memory as one user at most`() {
    var reader = BackgroundReader()
    let changes = [true, true, false, false].map { reader.serveMemory($0) }
    #expect(changes == [true, false, true, false] && reader.users == 0)
    reader.addUser()
    _ = reader.serveMemory(true)
    #expect(reader.users == 2)
  }
}
