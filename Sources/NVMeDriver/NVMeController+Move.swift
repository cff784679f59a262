extension NVMeController {
  /// Goes on with the same controller in another process: with the same queues, and with all commands in flight.
  ///
  /// The device's state moves with `Client.migrateDevice(to:_:whileStopped:progress:)`. Commands that the source had
  /// fetched are completed by it, the others by the target; each is completed once. Afterwards ``client`` is the
  /// target's, and the connection to the source can be closed.
  ///
  /// When this fails, the controller goes on at the source.
  ///
  /// - Parameters:
  ///   - target: a connection to a device of the same kind, of which nothing has been used.
  ///   - options: what happens to the memory, and limits.
  ///   - meanwhile: called after each round of copying, while the source runs; it may use the controller.
  /// - Throws: what either device or `meanwhile` throws; ``NVMeDriverError/unsuitable(_:)`` for memory that is to be
  ///   copied and that the device reaches by messages.
  public func move(
    to target: Client, _ options: NVMeMoveOptions = NVMeMoveOptions(),
    meanwhile: () throws(NVMeDriverError) -> Void = {}
  ) throws(NVMeDriverError) -> NVMeMoveReport {
    guard options.memory == .copied else {
      let migration = try move(to: target, arena.memory, options) {}
      return NVMeMoveReport(migration: migration, memory: MemoryCopyReport())
    }
    guard arena.isShared else {
      throw .unsuitable("memory that the device reaches by messages has no log of dirty pages")
    }
    let copy = try MemoryCopy(arena, client)
    defer { copy.end() }
    var report = try copy.runRounds(options, meanwhile)
    let migration = try move(to: target, copy.target, options) { () throws(ClientError) in
      report.bytesWhileStopped = try copy.runRound()
    }
    return NVMeMoveReport(migration: migration, memory: report)
  }

  private func move(
    to target: Client, _ memory: SharedMemory, _ options: NVMeMoveOptions,
    whileStopped: () throws(ClientError) -> Void
  ) throws(NVMeDriverError) -> MigrationReport {
    let (arena, all) = (arena, [admin].compactMap { $0 } + queues.values)
    let report = try throughClient { () throws(ClientError) in
      try target.map(memory, at: arena.address, size: memory.size, isShared: arena.isShared)
      // The same eventfds: what the source signals before it stops is not lost.
      for queue in all where queue.interrupt != nil {
        try target.setTrigger(.msix, vector: UInt32(queue.id), queue.interrupt)
      }
      return try client.migrateDevice(
        to: target, options.migration, whileStopped: whileStopped)
    }
    arena.home.use(memory)
    client = target
    doorbells.client = target
    // Without doorbells in memory at the target, messages reach it.
    let mapped =
      doorbells.mapped == nil
      ? nil : try Self.mappedDoorbells(of: target, stride: capabilities.doorbellStride)
    doorbells.mapped = mapped
    for queue in all {
      queue.doorbells.client = target
      queue.doorbells.mapped = mapped
    }
    return report
  }
}

/// The memory of an arena on its way to another file, while the device and the driver write to it.
private struct MemoryCopy {
  let target: SharedMemory
  private let arena: DMAArena
  private let client: Client
  private let range: DMALoggingRange

  /// Starts the log of dirty pages.
  init(_ arena: DMAArena, _ client: Client) throws(NVMeDriverError) {
    do throws(SystemCallError) {
      target = try SharedMemory(size: arena.memory.size)
    } catch {
      throw .system(error)
    }
    self.arena = arena
    self.client = client
    let range = DMALoggingRange(address: arena.address, length: arena.memory.size)
    self.range = range
    _ = try throughClient { () throws(ClientError) in
      try client.startDMALogging(pageSize: UInt64(DMAArena.pageSize), [range])
    }
    arena.home.beginNoting()
  }

  func end() {
    arena.home.endNoting()
    // The source may be gone, and its log with it.
    try? client.stopDMALogging()
  }

  /// Copies everything, then what was written meanwhile, until that is little.
  func runRounds(
    _ options: NVMeMoveOptions, _ meanwhile: () throws(NVMeDriverError) -> Void
  ) throws(NVMeDriverError) -> MemoryCopyReport {
    var report = MemoryCopyReport()
    var all = PageBits(size: target.size)
    all.insertAll()
    report.bytesInAdvance = copy(all)
    report.rounds = 1
    try meanwhile()
    while report.rounds < options.maxRounds {
      let bytes = try throughClient { () throws(ClientError) in try runRound() }
      report.bytesInAdvance += bytes
      report.rounds += 1
      // A guest too runs until the device is stopped.
      try meanwhile()
      if bytes <= UInt64(options.fewPages * DMAArena.pageSize) { break }
    }
    return report
  }

  /// Copies what was written since the last round.
  ///
  /// - Returns: the number of bytes.
  func runRound() throws(ClientError) -> UInt64 {
    var pages = arena.home.takeNoted()
    pages.formUnion(
      bitmap: try client.dirtyPages(range, pageSize: UInt64(DMAArena.pageSize)))
    return copy(pages)
  }

  private func copy(_ pages: PageBits) -> UInt64 {
    let source = arena.memory
    pages.forEach { page in
      let offset = UInt64(page * DMAArena.pageSize)
      target.write(at: offset, from: source.read(at: offset, count: DMAArena.pageSize))
    }
    return UInt64(pages.count * DMAArena.pageSize)
  }
}
