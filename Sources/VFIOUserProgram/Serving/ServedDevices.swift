internal import LinuxPrimitives
internal import VFIOUserServer

/// The devices that the process serves; they may come and go while it runs.
final class ServedDevices: Sendable {
  fileprivate struct State {
    var open: [OpenDevice]
    /// What was added since the start of the first program, and is there.
    var added: [DeviceRequest] = []
    /// The sockets of devices of the command line that were removed.
    var removed: [String] = []
    /// Rate limits that were changed, by the names of sockets and of limits.
    var limits: [String: [String: String]]
    /// Whether a device is being added or removed, or the program replaced.
    var isChanging = false
  }

  /// How long a change waits for another one.
  private static let patience: Duration = .seconds(10)
  /// How long a device that is removed may take to stop.
  private static let stopPatience: Duration = .seconds(10)

  private let state: Monitor<State>
  private let catalogue: DeviceCatalogue?
  private let sandbox: SandboxState
  /// Called when a device can accept no more clients.
  private let onFailure: @Sendable (_ name: String, SystemCallError) -> Void

  init(
    _ open: [OpenDevice], _ catalogue: DeviceCatalogue?, changes: DeviceChanges,
    sandbox: SandboxState = SandboxState(),
    onFailure: @escaping @Sendable (String, SystemCallError) -> Void
  ) {
    state = Monitor(
      State(
        open: open, added: changes.added, removed: changes.removed, limits: changes.limits ?? [:]))
    self.catalogue = catalogue
    self.sandbox = sandbox
    self.onFailure = onFailure
  }

  var all: [OpenDevice] { state.withLock { $0.open } }

  var servers: [ServedServer] { all.map(\.served) }

  /// What is other than the command line says.
  var changes: DeviceChanges {
    state.withLock { state in
      DeviceChanges(
        added: state.added, removed: state.removed,
        limits: state.limits.isEmpty ? nil : state.limits)
    }
  }

  /// Starts the servers of all devices.
  func start() throws {
    let limits = state.withLock { $0.limits }
    for one in all {
      // Before this program began, somebody has changed them.
      if let changed = limits[one.socketName] { try one.limit(changed) }
      try start(one)
    }
  }

  private func start(_ one: OpenDevice) throws {
    let name = one.served.name
    try one.server.start(on: one.listener) { [onFailure] in onFailure(name, $0) }
  }

  /// Runs `body`, in which no other change begins.
  ///
  /// - Throws: ``CommandError`` if another change takes too long.
  func changing<Result>(_ body: () throws -> Result) throws -> Result {
    let isOurs: Void? = state.withLock(
      when: { !$0.isChanging }, before: .after(Self.patience)
    ) { $0.isChanging = true }
    guard isOurs != nil else {
      throw CommandError("another change of the devices is under way; try again")
    }
    defer { state.update { $0.isChanging = false } }
    return try body()
  }

  /// Adds a device and serves it.
  func add(_ parameters: AddParameters) throws -> OpenDevice {
    guard let catalogue else {
      throw CommandError("this program serves a device of its own, and no others")
    }
    try sandbox.checkAddition()
    let request = try catalogue.read(parameters)
    return try changing {
      let device = try catalogue.make(request)
      guard device.command.privileges == .unchanged else {
        throw CommandError(
          "--user, --group and --memory-limit are for a process, and this one serves several devices. Devices have a process each with isolation = \"process\" in a configuration file."
        )
      }
      try catalogue.check(all.map(\.asked) + [device])
      let one: OpenDevice
      do { one = try Self.open(device) } catch { throw sandbox.explain(error) }
      do {
        try start(one)
      } catch {
        one.close()
        throw error
      }
      state.update {
        $0.open.append(one)
        $0.added.append(request)
      }
      return one
    }
  }

  private static func open(_ device: DeviceToServe) throws -> OpenDevice {
    let opened = try openAll([device])
    guard let one = opened.first else { throw CommandError("there is no device") }
    return one
  }

  /// Removes a device; its socket too, if this process has made it.
  ///
  /// - Parameter force: whether a device with a client is removed, whose guest loses it then.
  func remove(_ socket: String, force: Bool) throws {
    try changing {
      let one = try device(on: socket)
      if let client = one.server.clientProcess, !force {
        throw CommandError(
          "the device on \(socket) has a client, process \(client), whose guest would lose it. Unplug it there first (device_del in QEMU), or say force."
        )
      }
      one.server.stop()
      guard one.server.waitUntilStopped(for: Self.stopPatience) else {
        throw CommandError(
          "the device on \(socket) has not stopped within \(Self.stopPatience), and accepts no clients any more; try again"
        )
      }
      one.running.close()
      state.update { $0.forget(one) }
    }
  }

  /// Changes rate limits of a device.
  func limit(_ parameters: LimitParameters) throws {
    try changing {
      let one = try device(on: parameters.socket)
      try one.limit(parameters.limits)
      state.update { $0.limits[one.socketName, default: [:]].merge(parameters.limits) { $1 } }
    }
  }

  /// How a device would be asked for as it is now.
  func request(of one: OpenDevice) -> DeviceRequest? {
    let limits = state.withLock { $0.limits[one.socketName] ?? [:] }
    return one.asked.request?.limited(by: limits)
  }

  /// The device on a socket.
  ///
  /// - Throws: ``CommandError`` that names those that there are.
  func device(on socket: String) throws -> OpenDevice {
    let devices = all
    if let one = devices.first(where: { $0.isOn(socket) }) { return one }
    let names = devices.map(\.socketName)
    throw CommandError(
      names.isEmpty
        ? "no device is on \(socket): there is none at all"
        : "no device is on \(socket), but on \(names.joined(separator: ", "))")
  }

  /// Stops all servers, closes all devices, and lets go of them; no change begins any more.
  ///
  /// One that is under way ends first, so that a device that is being added does not stay.
  func stop() {
    _ = state.withLock(when: { !$0.isChanging }, before: .after(Self.patience)) {
      $0.isChanging = true
    }
    let devices = state.update { exchange(&$0.open, with: []) }
    devices.forEach { $0.server.stop() }
    devices.forEach { $0.server.waitUntilStopped() }
    devices.forEach { $0.running.close() }
  }

  /// The configuration file with the devices that are there.
  func configuration() throws -> String {
    let requests = try all.map { one in
      guard let request = request(of: one) else {
        throw CommandError("this program serves a device of its own, which no file describes")
      }
      return request
    }
    guard let catalogue else { throw CommandError("this program has no configuration file") }
    guard !requests.isEmpty else {
      throw CommandError("there is no device, and a configuration file has at least one")
    }
    return try catalogue.write(requests, [], LogLevel.current.rawValue)
  }
}

extension ServedDevices.State {
  /// Removes a device.
  fileprivate mutating func forget(_ one: OpenDevice) {
    open.removeAll { $0.server === one.server }
    limits[one.socketName] = nil
    let count = added.count
    added.removeAll { $0 == one.asked.request }
    if added.count == count { removed.append(one.asked.command.socket.name) }
  }
}

/// What is other than the command line says, for the next version of the program.
struct DeviceChanges: Codable, Sendable {
  var added: [DeviceRequest] = []
  /// Names of sockets.
  var removed: [String] = []
  /// Rate limits that were changed, by the names of sockets and of limits; nil for none.
  var limits: [String: [String: String]]?

  /// The devices that are to be served, given those of the command line.
  func applied(
    to initial: [DeviceToServe], _ catalogue: DeviceCatalogue?
  ) throws -> [DeviceToServe] {
    var devices = initial.filter { one in
      !removed.contains(one.command.socket.name) && !added.contains { $0 == one.request }
    }
    for request in added {
      guard let catalogue else {
        throw CommandError("this program cannot serve what was added: \(request.kind)")
      }
      devices.append(try catalogue.make(request))
    }
    // The command line's may have become others in the meantime.
    if !added.isEmpty { try catalogue?.check(devices) }
    return devices
  }
}
