// EXIF orientation: finding it and undoing it. Pure; safe on any bytes. Internal to this folder.
#pragma once

#include "absl/strings/string_view.h"
#include "dataservice/decode/image.h"

namespace seer::dataservice {

// The orientation (tag 0x0112 of IFD0), 1 to 8, out of a TIFF block, with or without the leading
// "Exif\0\0". 1 if there is none or the block makes no sense: a wrong tag must not lose an image.
int ExifOrientation(absl::string_view exif);

// 5 to 8 swap width and height.
inline bool SwapsAxes(int orientation) { return orientation >= 5; }

// Turns `image`, stored with `orientation`, upright.
void MakeUpright(int orientation, Image& image);

}  // namespace seer::dataservice
