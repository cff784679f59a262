// swift-tools-version: 6.2.3
import PackageDescription

/// Every target of the package is built with these: nothing unsafe goes unmarked, nothing is a mere warning.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InferIsolatedConformances"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("ImmutableWeakCaptures"),
  .enableExperimentalFeature("Lifetimes"),
]

let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let deques = Target.Dependency.product(name: "DequeModule", package: "swift-collections")

/// libnbd is used where its header is when a module is compiled; VFIO_USER_NBD=off leaves it out all the same.
let nbd: [Target.Dependency] = Context.environment["VFIO_USER_NBD"] == "off" ? [] : ["CLibNBD"]

func room(_ name: String, path: String? = nil, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["TestSupport", system], swiftSettings: settings)
}

let package = Package(
  name: "swift-vfio-user",
  products: [
    .library(name: "VFIOUser", targets: ["VFIOUser"]),
    .library(name: "VFIOUserProtocol", targets: ["VFIOUserProtocol"]),
    .library(name: "VFIOUserServer", targets: ["VFIOUserServer"]),
    .library(name: "VFIOUserClient", targets: ["VFIOUserClient"]),
    .library(name: "VFIOUserProgram", targets: ["VFIOUserProgram"]),
    .library(name: "VFIOUserTesting", targets: ["VFIOUserTesting"]),
    .library(name: "SerialDevice", targets: ["SerialDevice"]),
    .library(name: "EduDevice", targets: ["EduDevice"]),
    .library(name: "ScratchDevice", targets: ["ScratchDevice"]),
    .library(name: "NVMeProtocol", targets: ["NVMeProtocol"]),
    .library(name: "NVMeDriver", targets: ["NVMeDriver"]),
    .library(name: "NVMeDevice", targets: ["NVMeDevice"]),
    .executable(name: "vfio-user", targets: ["vfio-user"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CLibNBD", providers: [.apt(["libnbd-dev"])]),
    room("VFIOUserProtocol", []),
    room("NVMeProtocol", []),
    room("LinuxPrimitives", ["CLinux", system]),
    room("KernelRing", ["LinuxPrimitives", "CLinux", system]),
    room("VFIOUserTransport", ["LinuxPrimitives", "VFIOUserProtocol", "CLinux", system]),
    room(
      "VFIOUserServer",
      ["VFIOUserTransport", "LinuxPrimitives", "VFIOUserProtocol", "CLinux", system, logging]),
    room(
      "VFIOUserClient",
      ["VFIOUserTransport", "LinuxPrimitives", "VFIOUserProtocol", "CLinux", system, logging]),
    room("VFIOUser", ["VFIOUserServer", "VFIOUserClient", system]),
    room(
      "VFIOUserProgram",
      [
        "VFIOUserServer", "VFIOUserTransport", "LinuxPrimitives", "CLinux", system, logging,
        arguments,
      ]),
    room(
      "VFIOUserTesting", ["VFIOUserServer", "VFIOUserClient", "LinuxPrimitives", system]),
    room(
      "VFIOUserInspection",
      ["VFIOUserTransport", "LinuxPrimitives", "VFIOUserProtocol", "CLinux", system]),
    room(
      "VFIOUserConformance",
      ["VFIOUserTransport", "LinuxPrimitives", "VFIOUserProtocol", "CLinux", system]),
    room("NVMeDriver", ["NVMeProtocol", "VFIOUserClient", "LinuxPrimitives", "CLinux"]),
    room(
      "SerialDevice", path: "Sources/Devices/Serial",
      ["VFIOUserServer", "LinuxPrimitives", "CLinux", system, logging]),
    room(
      "EduDevice", path: "Sources/Devices/Edu",
      ["VFIOUserServer", "LinuxPrimitives", system, logging]),
    room(
      "ScratchDevice", path: "Sources/Devices/Scratch",
      ["VFIOUserServer", "LinuxPrimitives", "CLinux", system, logging]),
    room(
      "NVMeDevice", path: "Sources/Devices/NVMe",
      [
        "NVMeProtocol", "KernelRing", "VFIOUserServer", "LinuxPrimitives", "CLinux", system,
        logging, deques,
      ] + nbd),
    .executableTarget(
      name: "vfio-user",
      dependencies: [
        "VFIOUserProgram", "VFIOUserServer", "VFIOUserClient", "LinuxPrimitives", "SerialDevice",
        "EduDevice", "ScratchDevice", "NVMeDevice", "NVMeDriver", "NVMeProtocol", "KernelRing",
        "VFIOUserInspection", "VFIOUserConformance", "VFIOUserTransport", "VFIOUserProtocol",
        "CLinux", system, logging, arguments,
      ],
      swiftSettings: settings),
    .target(
      name: "TestSupport",
      dependencies: [
        "VFIOUserServer", "VFIOUserTransport", "VFIOUserProtocol", "CLinux", "HostileFiles", system,
      ] + nbd,
      path: "Tests/TestSupport", swiftSettings: settings),
    tests("VFIOUserProtocolTests", ["VFIOUserProtocol"]),
    tests("NVMeProtocolTests", ["NVMeProtocol"]),
    tests(
      "VFIOUserTransportTests",
      ["VFIOUserTransport", "VFIOUserProtocol", "CLinux", "HostileFiles"]),
    // The guarded accesses as they are compiled for processors without an assembler version.
    .target(
      name: "GuardBench", path: "Tests/GuardBench",
      cSettings: [.headerSearchPath("../../Sources/CLinux/include")]),
    tests(
      "CLinuxTests",
      [
        "CLinux", "GuardBench", "HostileFiles", "SystemCallFilter", "VFIOUserServer",
        "VFIOUserTransport", "VFIOUserProtocol",
      ]),
    .target(name: "SystemCallFilter", path: "Tests/SystemCallFilter"),
    .target(name: "HostileFiles", path: "Tests/HostileFiles"),
    tests(
      "VFIOUserInspectionTests",
      [
        "VFIOUserInspection", "VFIOUserTransport", "VFIOUserProtocol", "LinuxPrimitives", "CLinux",
      ]),
    tests(
      "VFIOUserConformanceTests",
      [
        "VFIOUserConformance", "TestBench", "ScratchDevice", "VFIOUserServer", "VFIOUserTransport",
        "VFIOUserProtocol", "LinuxPrimitives", "CLinux",
      ]),
    tests("LinuxPrimitivesTests", ["LinuxPrimitives", "CLinux"]),
    tests(
      "KernelRingTests",
      ["KernelRing", "LinuxPrimitives", "CLinux", "SystemCallFilter", "Intrusions"]),
    tests(
      "VFIOUserServerTests",
      [
        "VFIOUserServer", "VFIOUserClient", "VFIOUserTesting", "VFIOUserTransport",
        "VFIOUserProtocol", "FuzzHarness",
        "CLinux", logging,
      ]),
    .target(
      name: "FuzzHarness",
      dependencies: [
        "VFIOUserServer", "VFIOUserTransport", "VFIOUserProtocol", "LinuxPrimitives", "EduDevice",
        "ScratchDevice", "SerialDevice", "NVMeDevice", "TestSupport", system, logging,
      ],
      path: "Tests/FuzzHarness", swiftSettings: settings),
    tests(
      "VFIOUserClientTests",
      ["VFIOUserClient", "VFIOUserTransport", "VFIOUserProtocol", logging]),
    tests("SerialDeviceTests", ["SerialDevice", "TestBench", "VFIOUserServer", "VFIOUserClient"]),
    tests(
      "EduDeviceTests",
      [
        "EduDevice", "TestBench", "VFIOUserServer", "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol",
      ]),
    tests(
      "ScratchDeviceTests",
      [
        "ScratchDevice", "TestBench", "VFIOUserServer", "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol",
      ]),
    tests(
      "NVMeDeviceTests",
      [
        "NVMeDevice", "NVMeDriver", "NVMeProtocol", "KernelRing", "SystemCallFilter",
        "VFIOUserTesting", "VFIOUserServer", "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol", "CLinux",
        logging,
      ]),
    .target(
      name: "TestBench",
      dependencies: [
        "TestSupport", "VFIOUserTesting", "VFIOUserServer", "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol",
        system,
      ],
      path: "Tests/TestBench", swiftSettings: settings),
    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    tests(
      "AllocationTests",
      [
        "AllocationCounter", "NVMeDevice", "NVMeDriver", "NVMeProtocol", "VFIOUserClient",
        "VFIOUserServer", "VFIOUserTransport", "VFIOUserProtocol",
      ]),
    .executableTarget(
      name: "ProgramUnderTest", dependencies: ["VFIOUserProgram", "Intrusions"],
      path: "Tests/ProgramUnderTest", swiftSettings: settings),
    // What somebody tries who has broken into a process; in no product.
    .target(name: "Intrusions", path: "Tests/Intrusions"),
    tests(
      "VFIOUserProgramTests",
      [
        "VFIOUserProgram", "ProgramUnderTest", "Intrusions", "SystemCallFilter", "VFIOUserClient",
        "VFIOUserTransport", "VFIOUserProtocol", "LinuxPrimitives", "CLinux", arguments,
      ]),
    tests(
      "CommandTests",
      [
        "vfio-user", "LinuxPrimitives", "VFIOUserProgram", "NVMeDevice", "SystemCallFilter",
        "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol", "CLinux", logging, arguments,
      ]),
    tests(
      "UpgradeTests",
      [
        "vfio-user", "ProgramUnderTest", "VFIOUserProgram", "VFIOUserClient", "VFIOUserTransport",
        "VFIOUserProtocol", "LinuxPrimitives", "CLinux",
      ]),
    tests(
      "GuestTests",
      [
        "vfio-user", "VFIOUserProgram", "NVMeDevice", "NVMeDriver", "NVMeProtocol",
        "VFIOUserClient", "VFIOUserServer", "VFIOUserTransport", "CLinux", arguments,
      ]),
  ]
)

// Fuzzers need libFuzzer and a linker that can deal with it; a normal build never sees them.
if Context.environment["FUZZ"] != nil {
  package.targets.append(.target(name: "CFuzzer", path: "Fuzz/CFuzzer"))
  for name in ["Server", "Protocol", "State"] {
    package.targets.append(
      .executableTarget(
        name: "Fuzz\(name)", dependencies: ["CFuzzer", "FuzzHarness"], path: "Fuzz/\(name)",
        swiftSettings: settings))
  }
}

// Allocations are counted in the optimised build, where no other test runs: only what those need is built.
if Context.environment["ONLY_ALLOCATIONS"] != nil {
  var needed: Set = ["AllocationTests"]
  func need(_ name: String) {
    guard needed.insert(name).inserted || name == "AllocationTests" else { return }
    for dependency in package.targets.first(where: { $0.name == name })?.dependencies ?? [] {
      if case .byNameItem(let name, _) = dependency { need(name) }
    }
  }
  need("AllocationTests")
  package.targets.removeAll { !needed.contains($0.name) }
  package.products.removeAll { !needed.contains($0.name) }
}
