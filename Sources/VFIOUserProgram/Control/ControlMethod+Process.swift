internal import Glibc
internal import LinuxPrimitives

// Methods that a process that serves and a supervisor have in common.

extension ControlMethod {
  /// Adds the method that lists them.
  static func described(_ methods: [ControlMethod]) -> [ControlMethod] {
    let descriptions = methods.map {
      MethodDescription(name: $0.name, summary: $0.summary, parameters: $0.parameters)
    }
    return methods + [
      ControlMethod("methods", "Lists these methods.") { _ in
        try JSONValue(of: MethodList(methods: descriptions))
      }
    ]
  }

  /// - Parameters:
  ///   - began: when the program began, in nanoseconds of the monotonic clock.
  ///   - sandbox: how the process is confined; nil for a supervisor.
  static func version(since began: UInt64, sandbox: SandboxState? = nil) -> ControlMethod {
    ControlMethod("version", "Says which program this is.") { _ in
      try JSONValue(
        of: ProcessVersion(
          version: Program.libraryVersion, process: getpid(),
          uptime: Double(Deadline.now &- began) / 1e9, upgrades: Successor.upgradeCount,
          sandbox: sandbox?.summary ?? "none of a supervisor"))
    }
  }

  /// - Parameter onChange: called with another level.
  static func logLevel(
    onChange: @escaping @Sendable (String) -> Void = { _ in }
  ) -> ControlMethod {
    ControlMethod(
      "log-level", "Says what is logged, or changes it.", parameters: ["level"], isChange: true
    ) { call in
      let parameters = try call.parameters(LogLevelParameters.self)
      if let text = parameters.level {
        guard let level = LogOptions.Level(rawValue: text) else {
          let names = LogOptions.Level.allCases.map(\.rawValue).joined(separator: ", ")
          throw ControlFailure.invalidParameters("the levels are \(names), not '\(text)'")
        }
        LogLevel.current = level
        onChange(text)
      }
      return try JSONValue(of: LogLevelParameters(level: LogLevel.current.rawValue))
    }
  }
}
