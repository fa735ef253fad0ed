//! The strings in Korean.

use time::OffsetDateTime;

use super::Text;

pub(crate) static KO: Text = Text {
    tag: "ko",
    language: "언어",

    sign_in: "로그인",
    login_name: "아이디",
    password: "비밀번호",
    show: "보기",
    show_password: "비밀번호 보기",
    hide: "숨기기",
    hide_password: "비밀번호 숨기기",
    keep: "로그인 상태 유지",
    keep_hint: "여러 사람이 쓰는 기기에서는 선택하지 마세요.",
    returns_to: ("로그인한 뒤 ", " 페이지로 돌아갑니다."),

    account: "내 계정",
    email: "이메일",
    position: "직책",
    location: "지역",
    bio: "소개",
    roles: "역할",
    sessions: "로그인된 기기",
    this_device: "이 기기",
    unknown_device: "알 수 없는 기기",
    signed_in_at: ("로그인: ", ""),
    renewed_at: ("갱신: ", ""),
    sign_out: "로그아웃",
    sign_out_others: "다른 모든 기기에서 로그아웃",
    sign_out_everywhere: "모든 기기에서 로그아웃",
    everywhere_hint: "이 기기를 포함한 모든 기기에서 로그아웃합니다.",
    show_all: ("기기 ", "대 모두 보기"),
    session_ended: "해당 기기에서 로그아웃했습니다.",
    others_ended: "다른 모든 기기에서 로그아웃했습니다.",
    press_again: "오랫동안 자리를 비워서 변경된 것이 없습니다. 버튼을 다시 누르세요.",
    password_changed: "비밀번호를 변경했습니다. 다른 모든 기기에서는 로그아웃했습니다.",

    change_password: "비밀번호 변경",
    change_hint: "비밀번호를 변경하면 다른 모든 기기에서 로그아웃됩니다.",
    current_password: "현재 비밀번호",
    new_password: "새 비밀번호",
    new_password_hint: ("", "자 이상 입력하세요. 서로 관련 없는 단어 몇 개를 이어 쓰면 좋습니다."),
    back_to_account: "내 계정으로 돌아가기",

    wrong_password: "아이디 또는 비밀번호가 맞지 않습니다. 확인한 뒤 다시 입력하세요.",
    wrong_current_password: "현재 비밀번호가 맞지 않습니다. 다시 입력하세요.",
    too_many: ("비밀번호를 여러 번 잘못 입력했습니다. ", " 뒤에 다시 시도하세요."),
    after_wait: "이제 다시 시도할 수 있습니다.",
    form_unreadable: "비어 있거나 너무 긴 항목이 있습니다. 두 항목을 모두 입력한 뒤 다시 시도하세요.",
    form_unavailable: "지금은 확인할 수 없습니다. 잠시 뒤 다시 시도하세요.",
    form_fault: "서비스에 문제가 생겼습니다. 나중에 다시 시도하세요.",
    too_short: ("새 비밀번호가 ", "자입니다. ", "자 이상 입력하세요."),
    maybe_changed: "비밀번호가 변경되었는지 확인하지 못했습니다. 다시 시도하세요. 현재 비밀번호가 맞지 않다고 나오면 \
                    새 비밀번호로 로그인하세요.",
    is_current: "새 비밀번호가 현재 비밀번호와 같습니다. 다른 비밀번호를 선택하세요.",
    is_personal: "새 비밀번호가 이름, 주소 또는 서비스 이름과 같습니다. 다른 비밀번호를 선택하세요.",
    is_common: "흔히 쓰는 비밀번호입니다. 공격자가 먼저 시도합니다. 다른 비밀번호를 선택하세요.",
    is_repetitive: "같은 글자가 반복되거나 123456처럼 이어지는 비밀번호입니다. 다른 비밀번호를 선택하세요.",

    invalid_request: ("링크나 양식이 올바르지 않습니다", "빠지거나 잘못된 부분이 있습니다. 변경된 것은 없습니다."),
    not_everywhere: (
        "이 기기에서만 로그아웃했습니다",
        "로그인 기간이 이미 끝나서 다른 기기에서는 로그아웃하지 못했습니다. 다시 로그인한 뒤 \
         ‘모든 기기에서 로그아웃’을 선택하세요.",
    ),
    forbidden: (
        "다른 사이트에서 보낸 양식입니다",
        "안전을 위해 이 서비스의 페이지에서 보낸 양식만 받습니다. 변경된 것은 없습니다.",
    ),
    not_found: ("목록에 없는 기기입니다", "이미 로그아웃했거나 회원님의 기기가 아닙니다."),
    method_not_allowed: ("이 주소는 이렇게 사용할 수 없습니다", "변경된 것은 없습니다."),
    too_large: ("양식이 너무 깁니다", "입력한 내용을 줄여서 다시 보내세요. 변경된 것은 없습니다."),
    unsupported: ("양식을 읽을 수 없습니다", "이 주소에서 받지 않는 형식입니다."),
    too_many_attempts: "시도가 너무 많습니다",
    fault: ("서비스에 문제가 생겼습니다", "나중에 다시 시도하세요. 문제가 계속되면 아래 요청 번호를 알려 주세요."),
    unavailable: ("지금은 서비스를 이용하기 어렵습니다", "지금은 응답할 수 없습니다. 잠시 뒤 다시 시도하세요."),
    details: "자세히",
    status: "상태",
    request: "요청",
    go_on: "계속",
    try_again: "다시 시도",

    one_moment: ("잠시만 기다려 주세요", "다른 사이트에서 오셨습니다. 로그인되어 있는지 확인합니다."),

    duration,
    time,
};

fn duration(seconds: u64) -> String {
    let counted = |count: u64, unit| (count > 0).then(|| format!("{count}{unit}"));
    let parts = [counted(seconds / 60, "분"), counted(seconds % 60, "초")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn time(time: OffsetDateTime) -> String {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    format!("{year}년 {month}월 {day}일 {:02}:{:02} UTC", time.hour(), time.minute())
}
