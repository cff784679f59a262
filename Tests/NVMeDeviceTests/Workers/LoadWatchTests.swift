import Testing

@testable import NVMeDevice

@Suite struct `Whether one thread is enough` {
  @Test(arguments: [(0, false), (74, false), (75, true), (100, true)])
  func `A thread is saturated when three of four turns find something`(
    busy: Int, isSaturated: Bool
  ) {
    var load = LoadWatch()
    var seen = [load.note(isBusy: false, at: LoadWatch.window)]
    for turn in 0..<99 {
      seen.append(load.note(isBusy: turn < busy, at: 2 * LoadWatch.window - 1))
    }
    seen.append(load.note(isBusy: busy == 100, at: 2 * LoadWatch.window))
    #expect(seen == [false] + Array(repeating: nil, count: 99) + [isSaturated])
  }

  @Test func `A queue is busy when commands were found in it in one of four turns that found any`()
  {
    var load = LoadWatch()
    for turn in 0..<20 { _ = load.note(isBusy: turn < 12, at: turn < 19 ? 1 : LoadWatch.window) }
    #expect([0, 2, 3, 12].map { load.isBusy(finds: $0) } == [false, false, true, true])
    // Large commands: a turn may be longer than a window.
    _ = load.note(isBusy: true, at: 2 * LoadWatch.window)
    #expect([0, 1].map { load.isBusy(finds: $0) } == [false, true])
  }

  @Test func `A window knows nothing of the one before`() {
    var load = LoadWatch()
    for _ in 0..<100 { _ = load.note(isBusy: true, at: 1) }
    let first = load.note(isBusy: true, at: LoadWatch.window)
    let second = load.note(isBusy: false, at: 2 * LoadWatch.window)
    #expect(first == true && second == false)
  }

  @Test(arguments: [
    (1, 2, 1), (2, 2, 1), (3, 2, 1), (4, 2, 2), (5, 2, 2), (3, 4, 1), (16, 4, 4), (64, 16, 4),
  ])
  func `Each thread has about as many busy queues`(busy: Int, threads: Int, share: Int) {
    #expect(LoadWatch.share(of: busy, among: threads) == share)
  }

  @Test func `Queues are not spread anew again and again`() {
    var load = LoadWatch()
    let times = [LoadWatch.pause, 2 * LoadWatch.pause - 1, 2 * LoadWatch.pause]
    let answers = times.map { load.mayRedistribute(at: $0) }
    #expect(answers == [true, false, true])
  }
}
