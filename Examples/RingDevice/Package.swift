// swift-tools-version: 6.2
import PackageDescription

let vfioUser: Target.Dependency = .product(name: "VFIOUser", package: "swift-vfio-user")
let program: Target.Dependency = .product(name: "VFIOUserProgram", package: "swift-vfio-user")
let testing: Target.Dependency = .product(name: "VFIOUserTesting", package: "swift-vfio-user")

// A device with a ring in guest memory, a driver for it, and its tests, as a package that uses this one.
let package = Package(
  name: "RingDevice",
  dependencies: [.package(name: "swift-vfio-user", path: "../..")],
  targets: [
    .executableTarget(name: "RingDevice", dependencies: [program]),
    .executableTarget(name: "RingDriver", dependencies: [vfioUser]),
    .testTarget(name: "RingDeviceTests", dependencies: ["RingDevice", testing]),
  ])
