// seer: the command line.
#include "client/cli.h"

int main(int argc, char** argv) { return seer::client::RunCli(argc, argv); }
