// The public API of the driver is made of its client and of NVMe values.
@_exported import NVMeProtocol
@_exported import VFIOUserClient
